-- Remove a row at stage 'sent': its message could not be published, or was refused.
--
-- KEYS[1]  job   hash  <prefix>job:<id>
-- KEYS[2]  once  hash  <prefix>once:<key>    job, of, shared (see send.lua): only with an idempotency key
-- touches  due   zset  <prefix>due:<queue>   of this job
-- ARGV     prefix, id, 'any' | 'untouched' (only if no worker has claimed it and no second caller was given it)
-- returns  1, or 0 when the row is not removed
local row = redis.call('HMGET', KEYS[1], 'stage', 'fence', 'queue')
if row[1] ~= 'sent' then return 0 end
if ARGV[3] == 'untouched' and (row[2] ~= '0' or (KEYS[2] and redis.call('HGET', KEYS[2], 'shared'))) then return 0 end
if row[3] then redis.call('ZREM', ARGV[1] .. 'due:' .. row[3], ARGV[2]) end
redis.call('DEL', KEYS[1])
if KEYS[2] and redis.call('HGET', KEYS[2], 'job') == ARGV[2] then redis.call('DEL', KEYS[2]) end
return 1
