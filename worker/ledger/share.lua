-- Take one job of a tenant's share of a queue: 16 at once, and two a second from then on.
--
-- KEYS[1]  sends string <prefix>sends:<queue>:<tenant>  until when its share is used, in ms; expires then
-- returns  1, or 0 when its share is used up
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = redis.pcall('GET', KEYS[1])
local used_until = math.max(now, type(found) == 'string' and tonumber(found) or 0)
if used_until - now >= 16 * 500 then return 0 end
redis.call('SET', KEYS[1], used_until + 500, 'PX', used_until + 500 - now)
return 1
