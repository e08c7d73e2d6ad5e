-- Write an accepted row and make it due, unless a row of this id is past being sent. It is due as if it had waited for
-- two seconds: where a worker has more to do than it can, what is to be begun goes before what is only looked at again.
--
-- KEYS[1]  job   hash  <prefix>job:<id>      doc, stage, queue, fence, strikes, until, heard, taken, signal:<name>
-- KEYS[2]  due   zset  <prefix>due:<queue>   job id -> due time, ms since the epoch by Redis's clock
-- KEYS[3]  once  hash  <prefix>once:<key>    job, of                    only with an idempotency key
-- touches  due   zset  of the queue that a sent row waited in
-- ARGV     id, doc, stage, queue, prefix, fingerprint, keep in ms
-- returns  {1, doc} when new, {0, the doc that is there} else; {-1, id, fingerprint} of the job that has the key
local row = redis.call('HMGET', KEYS[1], 'doc', 'stage', 'queue')
if row[1] and row[2] ~= 'sent' then return {0, row[1]} end
if KEYS[3] then
  local held = redis.call('HMGET', KEYS[3], 'job', 'of')
  if held[1] and held[1] ~= ARGV[1] then return {-1, held[1], held[2]} end
  if not held[1] then
    redis.call('HSET', KEYS[3], 'job', ARGV[1], 'of', ARGV[6])
    redis.call('PEXPIRE', KEYS[3], ARGV[7])
  end
end
if row[3] and row[3] ~= ARGV[4] then redis.call('ZREM', ARGV[5] .. 'due:' .. row[3], ARGV[1]) end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'doc', ARGV[2], 'stage', ARGV[3], 'queue', ARGV[4], 'strikes', 0, 'until', 0)
redis.call('HSETNX', KEYS[1], 'heard', 0)
redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('ZADD', KEYS[2], t[1] * 1000 + math.floor(t[2] / 1000) - 2000, ARGV[1])
return {1, ARGV[2]}
