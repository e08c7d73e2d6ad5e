-- Write a claimed row: 'keep' extends the lease, 'release' ends the claim and sets the next due time.
-- A released row is due at once if a signal came during the claim. Writing stage 'closing' deletes the signals,
-- except for those that say which jobs share a run: they are told of its end.
--
-- KEYS[1]  job   hash  <prefix>job:<id>
-- KEYS[2]  due   zset  <prefix>due:<queue>
-- KEYS[3]  run   string  <prefix>run:<provider>:<request id>, for a new ticket: becomes this job's unless it is another's
-- ARGV     id, fence, doc, stage, 'keep' | 'release', ms (lease | due in), number of signals at claim time, version,
--          ms that a run is kept
-- returns  1, or 0 when a newer claim exists
local row = redis.call('HMGET', KEYS[1], 'fence', 'heard')
if row[1] ~= ARGV[2] then return 0 end
redis.call('ZCARD', KEYS[2])  -- a key of another type fails here, before anything is written
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ms = tonumber(ARGV[6])
local till = ARGV[5] == 'keep' and now + ms or 0
redis.call('HSET', KEYS[1], 'doc', ARGV[3], 'stage', ARGV[4], 'version', ARGV[8], 'strikes', 0, 'until', till)
if ARGV[5] == 'release' and row[2] ~= ARGV[7] then ms = 0 end
redis.call('ZADD', KEYS[2], now + ms, ARGV[1])
if KEYS[3] then redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[9]) end
if ARGV[4] == 'closing' then
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if name:find('^signal:') and not name:find('^signal:joined:') and not name:find('^signal:left:') then redis.call('HDEL', KEYS[1], name) end
  end
end
return 1
