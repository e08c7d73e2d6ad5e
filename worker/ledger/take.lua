-- Take the ending of a closing row, so that one closing message alone runs callbacks; again when its taker has died.
--
-- KEYS[1]  job   hash  <prefix>job:<id>      taken: until when somebody is ending it, ms
-- ARGV     lease in ms, 'take' | 'hold' (who has taken it goes on)
-- returns  the doc, or false: no such row, not closing, or somebody is at it
local row = redis.call('HMGET', KEYS[1], 'doc', 'stage', 'taken')
if row[2] ~= 'closing' then return false end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[2] == 'take' and tonumber(row[3] or 0) > now then return false end
redis.call('HSET', KEYS[1], 'taken', now + tonumber(ARGV[1]))
return row[1]
