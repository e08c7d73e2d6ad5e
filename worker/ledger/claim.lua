-- Claim due rows: move each due time to now + lease, and give the row the next fence.
-- The client repeats a call whose answer it did not get. The repetition has the same token, and gets the same claims again:
-- otherwise nobody would know that these rows are claimed, and the one who holds an older claim would lose it for nothing.
--
-- KEYS[n]  due   zset  <prefix>due:<queue>   one per queue, in order of preference
-- touches  job   hash  <prefix>job:<id>      of every claimed id (one Redis, not a cluster)
--          call  hash  <prefix>claimed:<token>  job id -> fence; lives as long as the lease
-- ARGV     prefix, limit, lease in ms, token of this call
-- returns  {now in ms, ms until the next row is due or -1, {fields of the job hash, then late (ms past due) and id, flat}, ...}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local room, lease = tonumber(ARGV[2]), tonumber(ARGV[3])
local out = {now, -1}
local call = ARGV[1] .. 'claimed:' .. ARGV[4]
local function add(id, late)
  local row = redis.call('HGETALL', ARGV[1] .. 'job:' .. id)
  row[#row + 1], row[#row + 2] = 'late', late
  row[#row + 1], row[#row + 2] = 'id', id
  out[#out + 1] = row
  room = room - 1
end
local before = redis.call('HGETALL', call)
for i = 1, #before, 2 do
  if redis.call('HGET', ARGV[1] .. 'job:' .. before[i], 'fence') == before[i + 1] then add(before[i], 0) end
end
for _, due in ipairs(KEYS) do
  local ids = room > 0 and redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, room, 'WITHSCORES') or {}
  for i = 1, #ids, 2 do
    local id = ids[i]
    local job = ARGV[1] .. 'job:' .. id
    if redis.call('EXISTS', job) == 0 then
      redis.call('ZREM', due, id)
    else
      redis.call('HSET', call, id, redis.call('HINCRBY', job, 'fence', 1))
      redis.call('HINCRBY', job, 'strikes', 1)
      redis.call('HSET', job, 'until', now + lease)
      redis.call('ZADD', due, now + lease, id)
      add(id, now - tonumber(ids[i + 1]))
    end
  end
  local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, tonumber(first[2]) - now)
    if out[2] == -1 or wait < out[2] then out[2] = wait end
  end
end
if #out > 2 then redis.call('PEXPIRE', call, lease) end
return out
