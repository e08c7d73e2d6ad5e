-- Record the verdict on a submission, and open or close the circuits of its provider and its model.
--
-- KEYS[1]  circuit  hash  <prefix>health:circuit:<provider>
-- KEYS[2]  circuit  hash  <prefix>health:circuit:<provider>:<model>
--     Times in ms since the epoch by Redis's clock.
--     until: open until then, half open afterwards, absent when closed; opens: how often it opened in a row; cause
--     probe, probe_until: token of the probe, and when its lease ends; closed: when the circuit last closed
--     key: fingerprint of the key, of a circuit that the key opened (locked, forbidden)
--     alerted: id of the call that returned the alert, so that a repeat of that call returns it again
--     paused: no submission before this time; pauses: how many pauses in a row without a Retry-After
--     good:<slot>, bad:<slot>: answers in a tenth of the window
--     only for a provider: last, last_at: the model of the last failure, and when; mixed: when a failure was last of
--     another model than the failure before it
-- KEYS[3]  flight   zset  <prefix>health:flight:<provider>           token -> when its lease ends
-- KEYS[4]  known    zset  <prefix>health:known                       <provider>, <provider>:<model> -> when it was last used
-- KEYS[5]  others   zset  <prefix>health:others                      the same of models that count for themselves alone: the newest 100
-- ARGV     token ('': none), permit given at in ms, verdict, Retry-After in ms (0: none), id of this call, provider, model,
--          window, min failures, min ratio, open, max open, lock, retired, backoff, max backoff, keep; times in ms;
--          how many answers this one stands for, when good; 1 for a model that counts for itself alone;
--          fingerprint of our key ('': none)
-- returns  {kind, 1 the provider's | 2 the model's, cause, open for in ms}, ... for each change
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local token, given_at, verdict, hint, call, provider, model =
  ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
local window, min_failures, min_ratio, open_ms, open_max = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local lock, retired, backoff, backoff_max, keep = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local count_of, alone = tonumber(ARGV[18]), ARGV[19] == '1'
local our_key = ARGV[20]
local provider_of = alone and 2 or 1 -- the circuit that takes what would concern the whole provider
local slot = math.floor(now / (window / 10))
local changes = {}

local function read(key)
  local flat, c = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do c[flat[i]] = flat[i + 1] end
  return c
end

local function open(which, cause, ms)
  redis.call('HSET', KEYS[which], 'until', now + ms, 'cause', cause)
  redis.call('HDEL', KEYS[which], 'probe', 'probe_until', 'key')
  if our_key ~= '' and (cause == 'locked' or cause == 'forbidden') then redis.call('HSET', KEYS[which], 'key', our_key) end
  changes[#changes + 1] = {'opened', which, cause, ms}
end

local function fail(which)
  local opens = redis.call('HINCRBY', KEYS[which], 'opens', 1)
  open(which, 'failures', math.max(hint, math.min(open_max, open_ms * 2 ^ (opens - 1))))
end

local function open_at_once(which, c, cause, ms)
  local is_open, is_other_key = tonumber(c['until'] or 0) > now, (c.key or our_key) ~= our_key
  if not is_open or is_other_key or (c.cause ~= cause and tonumber(c['until']) < now + ms) then open(which, cause, ms) end
  if cause == 'retired' or (c.alerted and c.alerted ~= call and not is_other_key) then return end
  redis.call('HSET', KEYS[which], 'alerted', call)
  changes[#changes + 1] = {'alert', which, cause, ms}
end

local function close(which, c)
  for name in pairs(c) do
    if name ~= 'paused' and name ~= 'pauses' and name ~= 'tokens' and name ~= 'filled' then redis.call('HDEL', KEYS[which], name) end
  end
  redis.call('HSET', KEYS[which], 'closed', now)
  changes[#changes + 1] = {'closed', which, '', 0}
end

local function count(which, c)
  local good, bad = verdict == 'good' and count_of or 0, verdict == 'bad' and 1 or 0
  for name, n in pairs(c) do
    local kind, at = name:match('^(%a+):(%d+)$')
    if at and tonumber(at) <= slot - 10 then
      redis.call('HDEL', KEYS[which], name)
    elseif kind == 'good' then
      good = good + tonumber(n)
    elseif kind == 'bad' then
      bad = bad + tonumber(n)
    end
  end
  redis.call('HINCRBY', KEYS[which], verdict .. ':' .. slot, verdict == 'good' and count_of or 1)
  if verdict == 'good' then return end
  -- Failures of one model alone open only that model's circuit: the provider's other models go on.
  local mixed = which == 2 or tonumber(c.mixed or 0) > now - window
  if which == 1 then
    if c.last ~= model and tonumber(c.last_at or 0) > now - window then
      mixed = true
      redis.call('HSET', KEYS[1], 'mixed', now)
    end
    redis.call('HSET', KEYS[1], 'last', model, 'last_at', now)
  end
  if mixed and bad >= min_failures and bad / (good + bad) >= min_ratio then fail(which) end
end

local circuits = {read(KEYS[1]), read(KEYS[2])}
for which, c in ipairs(circuits) do if which >= provider_of then
  local open_until, is_probe = tonumber(c['until'] or 0), token ~= '' and c.probe == token
  local stale = given_at > 0 and given_at < tonumber(c.closed or 0)
  if is_probe then redis.call('HDEL', KEYS[which], 'probe', 'probe_until') end
  if (verdict == 'locked' and which == provider_of) or (verdict == 'forbidden' and which == 2) then
    if not stale then open_at_once(which, c, verdict, lock) end
  elseif verdict == 'retired' and which == 2 then
    if not stale then open_at_once(which, c, verdict, retired) end
  elseif verdict == 'good' or verdict == 'bad' then
    if open_until == 0 then
      if not stale then count(which, c) end
    elseif is_probe then
      if verdict == 'good' then close(which, c) else fail(which) end
    end
  end
end end

local c = circuits[provider_of]
if verdict == 'good' and c.pauses then redis.call('HDEL', KEYS[provider_of], 'pauses') end
local which, pause = verdict == 'limited' and provider_of or 2, hint
if verdict == 'limited' and hint == 0 and tonumber(c.paused or 0) <= now then
  pause = math.min(backoff_max, backoff * 2 ^ (redis.call('HINCRBY', KEYS[provider_of], 'pauses', 1) - 1))
end
if (verdict == 'limited' or verdict == 'bad') and pause > 0 and now + pause > tonumber(circuits[which].paused or 0) then
  redis.call('HSET', KEYS[which], 'paused', now + pause)
end

if token ~= '' then redis.call('ZREM', KEYS[3], token) end
for which, name in ipairs({provider, provider .. ':' .. model}) do
  local open_until = tonumber(redis.call('HGET', KEYS[which], 'until') or 0)
  if redis.call('PEXPIREAT', KEYS[which], math.max(now, open_until) + keep) == 1 then redis.call('ZADD', KEYS[alone and which == 2 and 5 or 4], now, name) end
end
if alone then
  redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -101)
  redis.call('PEXPIRE', KEYS[5], keep)
end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - retired - keep)
redis.call('PEXPIRE', KEYS[4], retired + keep)
return changes
