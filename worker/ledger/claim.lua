-- Claim due rows: move each due time to now + lease, and give the row the next fence.
-- The client repeats a call whose answer it did not get. The repetition has the same token, and gets the same claims again:
-- otherwise nobody would know that these rows are claimed, and the one who holds an older claim would lose it for nothing.
-- A row that cannot be claimed (another type of key, a counter that is no number) is set aside, so that it stops nobody.
-- A row of a newer version is left where it is. Rows beyond their tenant's share (accept.lua) are claimed last, and only
-- as many as the caller has spare capacity for; until then their due time is moved on.
--
-- KEYS[n]  due   zset  <prefix>due:<queue>   one per queue, in order of preference
-- touches  job   hash  <prefix>job:<id>      of every claimed id (one Redis, not a cluster)
--          call  hash  <prefix>claimed:<token>  job id -> fence; lives as long as the lease
--          bad   hash  <prefix>bad           see aside.lua
--          spare zset  <prefix>spare:<queue>   see accept.lua
-- ARGV     prefix, limit, lease in ms, token of this call, version of rows that the caller reads, limit of spare rows
-- returns  {now in ms, ms until the next row is due or -1, {id, reason, ...} of what is bad,
--           {fields of the job hash, then late (ms past due), due (its key) and id, flat}, ...}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local room, lease, version = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
local bad, most_left = {}, 1000
local out = {now, -1, bad}
local call = ARGV[1] .. 'claimed:' .. ARGV[4]

local function add(due, id, late)
  local row = redis.call('HGETALL', ARGV[1] .. 'job:' .. id)
  for _, each in ipairs({'late', late, 'due', due, 'id', id}) do row[#row + 1] = each end
  out[#out + 1] = row
  room = room - 1
end

-- The reply, or nil when the value at the key does not fit. Any other error (full memory) ends the script.
local function attempt(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if reply.err:find('WRONGTYPE') or reply.err:find('not an integer') or reply.err:find('overflow') then return nil end
  return redis.call(...)
end

local function set_aside(due, id, reason)
  attempt('HSET', ARGV[1] .. 'bad', id, cjson.encode({queue = due:sub(#ARGV[1] + 5), reason = reason, at = now / 1000}))
  redis.call('EXPIRE', ARGV[1] .. 'bad', 2592000)
  redis.call('ZREM', due, id)
  bad[#bad + 1], bad[#bad + 2] = id, reason
end

local function spare_of(due)
  local spare = ARGV[1] .. 'spare:' .. due:sub(#ARGV[1] + 5)
  return redis.call('TYPE', spare).ok == 'zset' and spare
end

-- Claims the row, or removes it from the due set. True if it is left there for a newer version.
local function claim(due, id, score, spare)
  if spare and redis.call('ZSCORE', spare, id) then
    redis.call('ZADD', due, now + 60000, id)
    return false
  end
  local job = ARGV[1] .. 'job:' .. id
  local kind = redis.call('TYPE', job).ok
  if kind == 'none' then
    redis.call('ZREM', due, id)
    return false
  elseif kind ~= 'hash' then
    set_aside(due, id, 'its key is a ' .. kind)
    return false
  end
  if (tonumber(redis.call('HGET', job, 'version')) or 0) > version then return true end
  local strikes, fence = attempt('HINCRBY', job, 'strikes', 1), attempt('HINCRBY', job, 'fence', 1)
  if not strikes or not fence then
    set_aside(due, id, 'strikes or fence is no number')
    return false
  end
  redis.call('HSET', call, id, fence)
  redis.call('HSET', job, 'until', now + lease)
  redis.call('ZADD', due, now + lease, id)
  add(due, id, now - score)
  return false
end

local before = redis.call('HGETALL', call)
for i = 1, #before, 2 do
  local job = ARGV[1] .. 'job:' .. before[i]
  if redis.pcall('HGET', job, 'fence') == before[i + 1] then
    add(ARGV[1] .. 'due:' .. (redis.call('HGET', job, 'queue') or ''), before[i], 0)
  end
end
for _, due in ipairs(KEYS) do
  if redis.call('TYPE', due).ok == 'zset' then
    local left, spare = 0, spare_of(due)
    while room > 0 and left < most_left do
      local ids = redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', left, room, 'WITHSCORES')
      if #ids == 0 then break end
      for i = 1, #ids, 2 do
        if claim(due, ids[i], tonumber(ids[i + 1]), spare) then left = left + 1 end
      end
    end
    local first = redis.call('ZRANGE', due, left, left, 'WITHSCORES')
    if first[2] then
      local wait = math.max(0, tonumber(first[2]) - now)
      if out[2] == -1 or wait < out[2] then out[2] = wait end
    end
  elseif redis.call('EXISTS', due) == 1 then
    bad[#bad + 1], bad[#bad + 2] = due, 'the due times of a queue are another type of key'
  end
end
local spare_room = math.min(room, tonumber(ARGV[6]))
for _, due in ipairs(KEYS) do
  local spare = spare_of(due)
  while spare and spare_room > 0 do
    local ids = redis.call('ZRANGE', spare, 0, spare_room - 1, 'WITHSCORES')
    if #ids == 0 then break end
    for i = 1, #ids, 2 do
      local row = redis.pcall('HMGET', ARGV[1] .. 'job:' .. ids[i], 'stage', 'until')
      redis.call('ZREM', spare, ids[i])
      if row[1] == 'accepted' and row[2] == '0' then
        claim(due, ids[i], tonumber(ids[i + 1]))
        spare_room = spare_room - 1
      end
    end
  end
  if spare and redis.call('ZCARD', spare) > 0 and (out[2] == -1 or out[2] > 50) then out[2] = 50 end
end
if #out > 3 then redis.call('PEXPIRE', call, lease) end
return out
