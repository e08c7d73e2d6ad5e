-- Set aside a claimed row whose fields cannot be read: it is not due any more, and stays as it is.
--
-- KEYS[1]  job   hash  <prefix>job:<id>
-- KEYS[2]  due   zset  <prefix>due:<queue>   that it was claimed from
-- KEYS[3]  bad   hash  <prefix>bad           id -> JSON: queue, reason, at (s); lives for 30 days after the last one
-- ARGV     id, fence, queue, reason
-- returns  1, or 0 when a newer claim exists
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
if redis.call('TYPE', KEYS[3]).ok ~= 'hash' and redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 1
end
redis.call('HSET', KEYS[3], ARGV[1], cjson.encode({queue = ARGV[3], reason = ARGV[4], at = tonumber(t[1])}))
redis.call('EXPIRE', KEYS[3], 2592000)
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
