-- Extend the lease of claimed rows, each only while its fence is still ours. A row that was released stays released.
-- A lease that lasts longer already stays as it is. A row that is not a row any more counts as lost.
--
-- touches  job   hash  <prefix>job:<id>      of every given id
-- touches  due   zset  <prefix>due:<queue>   of each of these jobs
-- ARGV     prefix, lease in ms, then id, fence, id, fence, ...
-- returns  the ids whose claim is lost
local t = redis.call('TIME')
local till = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2])
local lost = {}
for i = 3, #ARGV, 2 do
  local job = ARGV[1] .. 'job:' .. ARGV[i]
  local row = redis.pcall('HMGET', job, 'fence', 'queue', 'until')
  if row.err or row[1] ~= ARGV[i + 1] or not row[2] then
    lost[#lost + 1] = ARGV[i]
  elseif row[3] ~= '0' and (tonumber(row[3]) or 0) < till then
    redis.call('HSET', job, 'until', till)
    redis.pcall('ZADD', ARGV[1] .. 'due:' .. row[2], till, ARGV[i])
  end
end
return lost
