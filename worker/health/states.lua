-- Return every known circuit, and how many submissions are under way at each provider.
--
-- KEYS[1]  known    zset  <prefix>health:known                       see record.lua
-- KEYS[2]  others   zset  <prefix>health:others                      the same
-- touches  circuit  hash  <prefix>health:circuit:<name>              of every known name (one Redis, not a cluster)
-- touches  flight   zset  <prefix>health:flight:<name>               the same
-- ARGV     prefix
-- returns  {now in ms, {name, in flight, {fields of the hash, flat}}, ...}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local out = {now}
for _, known in ipairs(KEYS) do for _, name in ipairs(redis.call('ZRANGE', known, 0, -1)) do
  local fields = redis.call('HGETALL', ARGV[1] .. 'health:circuit:' .. name)
  local flight = redis.call('ZCOUNT', ARGV[1] .. 'health:flight:' .. name, '(' .. string.format('%.0f', now), '+inf')
  if #fields == 0 and flight == 0 then
    redis.call('ZREM', known, name)
  else
    out[#out + 1] = {name, flight, fields}
  end
end end
return out
