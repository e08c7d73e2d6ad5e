-- Write the row of a message that is about to be published. It comes due if no worker accepts it in time.
-- If a cancel was noted for its id, the row is written with it, and is due at once.
--
-- KEYS[1]  job   hash  <prefix>job:<id>      see accept.lua
-- KEYS[2]  due   zset  <prefix>due:<queue>
-- KEYS[3]  once  hash  <prefix>once:<key>    job, of (fingerprint), shared (a second caller was given this job): only with a key
-- touches  noted string <prefix>cancelled:<id>  see signal.lua
-- ARGV     id, doc, queue, wait in ms, prefix, version; with a key also: fingerprint, key lifetime in ms
-- returns  {id, fingerprint}: of this job, or of the job that already owns the key
redis.call('ZCARD', KEYS[2])  -- a key of another type fails here, before anything is written
if KEYS[3] then
  local held = redis.call('HMGET', KEYS[3], 'job', 'of')
  if held[1] then
    if held[1] ~= ARGV[1] and held[2] == ARGV[7] then redis.call('HSET', KEYS[3], 'shared', 1) end
    return held
  end
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  local t = redis.call('TIME')
  local wait = tonumber(ARGV[4])
  redis.call('HSET', KEYS[1], 'doc', ARGV[2], 'stage', 'sent', 'queue', ARGV[3], 'version', ARGV[6], 'fence', 0, 'strikes', 0, 'until', 0, 'heard', 0)
  if redis.call('EXISTS', ARGV[5] .. 'cancelled:' .. ARGV[1]) == 1 then
    redis.call('HSET', KEYS[1], 'signal:cancel', 1, 'heard', 1)
    wait = 0
  end
  redis.call('ZADD', KEYS[2], t[1] * 1000 + math.floor(t[2] / 1000) + wait, ARGV[1])
end
if KEYS[3] then
  redis.call('HSET', KEYS[3], 'job', ARGV[1], 'of', ARGV[7])
  redis.call('PEXPIRE', KEYS[3], ARGV[8])
end
return {ARGV[1], ARGV[7] or ''}
