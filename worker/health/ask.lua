-- Let a submission go, or say how long it has to wait. Nothing is taken unless all of it is. Repeated with its token, it
-- is given the same again (a rate counts it twice). Without a token it is only said what would be; nothing is taken.
--
-- KEYS[1]  circuit  hash  <prefix>health:circuit:<provider>          see tell.lua; tokens, filled: what a rate has left, ms
-- KEYS[2]  circuit  hash  <prefix>health:circuit:<provider>:<model>  see tell.lua
-- KEYS[3]  flight   zset  <prefix>health:flight:<provider>           token -> when its lease ends, ms since the epoch by Redis's clock
-- KEYS[4]  known    zset  <prefix>health:known                       see tell.lua
-- ARGV     token ('': take nothing), lease in ms, concurrency (0: any), rate per s (0: any), again in ms, keep in ms, provider
-- returns  {1, now in ms, 1 when it is a probe} or {0, ms to wait, why}; why of the longest wait
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local token, lease, concurrency, rate = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local again, keep = tonumber(ARGV[5]), tonumber(ARGV[6])
local wait, why, probes, filled = 0, '', {}, nil

local function hold(ms, reason)
  if ms > wait then wait, why = ms, reason end
end

for i = 1, 2 do
  local c = redis.call('HMGET', KEYS[i], 'until', 'probe', 'probe_until', 'paused')
  local till, held = tonumber(c[1] or 0), tonumber(c[3] or 0)
  hold(tonumber(c[4] or 0) - now, 'paused')
  if till > now then
    hold(till - now, 'open')
  elseif till > 0 and held > now and c[2] ~= token then
    hold(math.min(held - now, again), 'probing')
  elseif till > 0 then
    probes[#probes + 1] = KEYS[i]
  end
end

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if concurrency > 0 and redis.call('ZCARD', KEYS[3]) >= concurrency and not redis.call('ZSCORE', KEYS[3], token) then
  local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  hold(math.min(tonumber(first[2]) - now, again), 'full')
end
if rate > 0 then
  local r = redis.call('HMGET', KEYS[1], 'tokens', 'filled')
  local most = math.max(1, rate)
  filled = math.min(most, tonumber(r[1] or most) + (now - tonumber(r[2] or now)) / 1000 * rate)
  if filled < 1 then hold(math.ceil((1 - filled) / rate * 1000), 'full') end
end
if wait > 0 then return {0, wait, why} end
if token == '' then return {1, now, 0} end

for _, key in ipairs(probes) do
  redis.call('HSET', key, 'probe', token, 'probe_until', now + lease)
  redis.call('PEXPIRE', key, lease + keep)
end
if filled then
  redis.call('HSET', KEYS[1], 'tokens', filled - 1, 'filled', now)
  redis.call('PEXPIRE', KEYS[1], keep, 'NX')
end
redis.call('ZADD', KEYS[3], now + lease, token)
redis.call('PEXPIRE', KEYS[3], lease + keep, 'GT')
redis.call('PEXPIRE', KEYS[3], lease + keep, 'NX')
redis.call('ZADD', KEYS[4], now, ARGV[7])
redis.call('PEXPIRE', KEYS[4], keep, 'NX')
return {1, now, #probes > 0 and 1 or 0}
