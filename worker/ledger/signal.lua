-- Store a signal on a row whose ending is still open. An unclaimed row is due now; a claimed row when it is released.
-- Without a row, a cancel can be noted for the id: the row has it as soon as it is written (send.lua, accept.lua).
--
-- KEYS[1]  job   hash  <prefix>job:<id>
-- touches  due   zset  <prefix>due:<queue>   of this job
--          spare zset  <prefix>spare:<queue>  see accept.lua: a row that is due now does not wait for spare capacity
--          noted string <prefix>cancelled:<id>  '1'
-- ARGV     prefix, id, name, value; to note it without a row also: lifetime of the note in ms
-- returns  the doc, or false when there is no row
local row = redis.call('HMGET', KEYS[1], 'doc', 'stage', 'queue', 'until')
if not row[1] then
  if ARGV[5] then redis.call('SET', ARGV[1] .. 'cancelled:' .. ARGV[2], 1, 'PX', ARGV[5]) end
  return false
end
if row[2] == 'closing' or row[2] == 'completed' or row[2] == 'failed' or row[2] == 'cancelled' then return row[1] end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HINCRBY', KEYS[1], 'heard', 1)
redis.call('HSET', KEYS[1], 'signal:' .. ARGV[3], ARGV[4])
if row[3] and (tonumber(row[4]) or 0) <= now then
  redis.pcall('ZREM', ARGV[1] .. 'spare:' .. row[3], ARGV[2])
  redis.call('ZADD', ARGV[1] .. 'due:' .. row[3], now, ARGV[2])
end
return row[1]
