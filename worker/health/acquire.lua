-- Give a permit for one submission, or say how long to wait. A refused call takes nothing.
-- A repeat with the same token gets the same permit, but the rate limit counts it twice.
-- With the token '' the answer is the same, but nothing is taken.
--
-- KEYS[1]  circuit  hash  <prefix>health:circuit:<provider>          see record.lua; also tokens, filled: the rate limit's
--     token bucket, and when it was last filled, ms
-- KEYS[2]  circuit  hash  <prefix>health:circuit:<provider>:<model>  see record.lua
-- KEYS[3]  flight   zset  <prefix>health:flight:<provider>           token -> when its lease ends, ms since the epoch by Redis's clock
-- KEYS[4]  known    zset  <prefix>health:known                       see record.lua
-- ARGV     token ('': take nothing), lease in ms, concurrency (0: no limit), rate per s (0: no limit),
--          longest wait for a slot or a probe in ms, keep in ms, provider, 1 for a model that counts for itself alone,
--          fingerprint of our key ('': none)
-- returns  {1, now in ms, 1 when it is a probe} or {0, ms to wait, why, cause of an open circuit}: the longest wait
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local token, lease, concurrency, rate = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local recheck, keep, alone, key = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[8] == '1', ARGV[9]
local wait, why, because, probes, filled = 0, '', '', {}, nil

local function wait_for(ms, reason, cause)
  if ms > wait then wait, why, because = ms, reason, cause or '' end
end

for i = 1, 2 do
  local c = redis.call('HMGET', KEYS[i], 'until', 'probe', 'probe_until', 'paused', 'cause', 'key')
  local open_until, probe_until = tonumber(c[1] or 0), tonumber(c[3] or 0)
  wait_for(tonumber(c[4] or 0) - now, 'paused')
  local is_other_key = key ~= '' and c[6] and c[6] ~= key -- another key was refused, so ours is probed at once
  if open_until > now and not is_other_key then
    wait_for(open_until - now, 'open', c[5])
  elseif alone and i == 1 then
    -- a half-open provider is not probed by it
  elseif open_until > 0 and probe_until > now and c[2] ~= token then
    wait_for(math.min(probe_until - now, recheck), 'probing', c[5])
  elseif open_until > 0 then
    probes[#probes + 1] = KEYS[i]
  end
end

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if concurrency > 0 and redis.call('ZCARD', KEYS[3]) >= concurrency and not redis.call('ZSCORE', KEYS[3], token) then
  local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  wait_for(math.min(tonumber(first[2]) - now, recheck), 'full')
end
if rate > 0 then
  local r = redis.call('HMGET', KEYS[1], 'tokens', 'filled')
  local capacity = math.max(1, rate)
  filled = math.min(capacity, tonumber(r[1] or capacity) + (now - tonumber(r[2] or now)) / 1000 * rate)
  if filled < 1 then wait_for(math.ceil((1 - filled) / rate * 1000), 'full') end
end
if wait > 0 then return {0, wait, why, because} end
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
