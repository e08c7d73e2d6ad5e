-- Lease the ending of a closing row, so that only one closing message runs callbacks. After the lease another may take it.
--
-- KEYS[1]  job   hash  <prefix>job:<id>      taken: when the lease on the ending expires, ms
-- ARGV     lease in ms, 'take' | 'hold' (renew the lease)
-- returns  the doc, or false: no such row, not closing, or another delivery has the lease
local row = redis.call('HMGET', KEYS[1], 'doc', 'stage', 'taken')
if row[2] ~= 'closing' then return false end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[2] == 'take' and (tonumber(row[3]) or 0) > now then return false end
redis.call('HSET', KEYS[1], 'taken', now + tonumber(ARGV[1]))
return row[1]
