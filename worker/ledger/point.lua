-- Let a name point to a job, unless it points to another one than the caller has seen. The same call twice does the same.
--
-- KEYS[1]  equal string <prefix>equal:<name>  id of the job; expires
-- ARGV     id, the id that the caller has seen or '', lifetime in ms
-- returns  the id that the name points to now
local found = redis.call('GET', KEYS[1])
if found and found ~= ARGV[1] and found ~= ARGV[2] then return found end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return ARGV[1]
