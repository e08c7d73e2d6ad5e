-- Claim due rows: move each due time to now + lease, and give the row the next fence.
--
-- KEYS[n]  due   zset  <prefix>due:<queue>   one per queue, in order of preference
-- touches  job   hash  <prefix>job:<id>      of every claimed id (one Redis, not a cluster)
-- ARGV     prefix, limit, lease in ms
-- returns  {now in ms, ms until the next row is due or -1, {fields of the job hash, then late (ms past due) and id, flat}, ...}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local room, lease = tonumber(ARGV[2]), tonumber(ARGV[3])
local out = {now, -1}
for _, due in ipairs(KEYS) do
  local ids = room > 0 and redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, room, 'WITHSCORES') or {}
  for i = 1, #ids, 2 do
    local id = ids[i]
    local job = ARGV[1] .. 'job:' .. id
    if redis.call('EXISTS', job) == 0 then
      redis.call('ZREM', due, id)
    else
      redis.call('HINCRBY', job, 'fence', 1)
      redis.call('HINCRBY', job, 'strikes', 1)
      redis.call('HSET', job, 'until', now + lease)
      redis.call('ZADD', due, now + lease, id)
      local row = redis.call('HGETALL', job)
      row[#row + 1], row[#row + 2] = 'late', now - tonumber(ids[i + 1])
      row[#row + 1], row[#row + 2] = 'id', id
      out[#out + 1] = row
      room = room - 1
    end
  end
  local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, tonumber(first[2]) - now)
    if out[2] == -1 or wait < out[2] then out[2] = wait end
  end
end
return out
