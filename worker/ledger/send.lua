-- Write a row that its producer is about to send, due when no worker has accepted it in time.
--
-- KEYS[1]  job   hash  <prefix>job:<id>      see accept.lua
-- KEYS[2]  due   zset  <prefix>due:<queue>
-- KEYS[3]  once  hash  <prefix>once:<key>    job, of, shared (a second caller has been given the job): with a key only
-- ARGV     id, doc, queue, wait in ms, fingerprint, keep in ms
-- returns  {id, fingerprint} of the job that is to be followed: this one, or the one that has the key
if KEYS[3] then
  local held = redis.call('HMGET', KEYS[3], 'job', 'of')
  if held[1] then
    if held[1] ~= ARGV[1] and held[2] == ARGV[5] then redis.call('HSET', KEYS[3], 'shared', 1) end
    return held
  end
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'doc', ARGV[2], 'stage', 'sent', 'queue', ARGV[3], 'fence', 0, 'strikes', 0, 'until', 0, 'heard', 0)
  redis.call('ZADD', KEYS[2], t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[4]), ARGV[1])
end
if KEYS[3] then
  redis.call('HSET', KEYS[3], 'job', ARGV[1], 'of', ARGV[5])
  redis.call('PEXPIRE', KEYS[3], ARGV[6])
end
return {ARGV[1], ARGV[5]}
