-- Remove a row whose message could not be sent, unless a worker has seen it meanwhile.
--
-- KEYS[1]  job   hash  <prefix>job:<id>
-- KEYS[2]  due   zset  <prefix>due:<queue>
-- KEYS[3]  once  hash  <prefix>once:<key>    only with an idempotency key
-- ARGV     id
-- returns  1, or 0 when the row is past that or gone
local row = redis.call('HMGET', KEYS[1], 'stage', 'fence')
if row[1] ~= 'sent' or row[2] ~= '0' then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if KEYS[3] and redis.call('HGET', KEYS[3], 'job') == ARGV[1] then redis.call('DEL', KEYS[3]) end
return 1
