-- Write a claimed row: kept for another lease, let go until it is due, or ended for good.
--
-- KEYS[1]  job   hash  <prefix>job:<id>
-- KEYS[2]  due   zset  <prefix>due:<queue>
-- ARGV     id, fence, doc, stage, 'keep' | 'release' | 'end', ms (lease | due in | forget in), signals heard
-- returns  1, or 0 when another claim is newer
local row = redis.call('HMGET', KEYS[1], 'fence', 'heard')
if row[1] ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local mode, ms = ARGV[5], tonumber(ARGV[6])
redis.call('HSET', KEYS[1], 'doc', ARGV[3], 'stage', ARGV[4], 'strikes', 0, 'until', mode == 'keep' and now + ms or 0)
if mode == 'end' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ms)
else
  if mode == 'release' and row[2] ~= ARGV[7] then ms = 0 end
  redis.call('ZADD', KEYS[2], now + ms, ARGV[1])
end
return 1
