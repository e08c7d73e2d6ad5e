-- Write a new row and make it due now, unless there is a row of this id already.
--
-- KEYS[1]  job   hash  <prefix>job:<id>      doc, stage, queue, fence, strikes, until, heard, taken, signal:<name>
-- KEYS[2]  due   zset  <prefix>due:<queue>   job id -> due time, ms since the epoch by Redis's clock
-- ARGV     id, doc, stage, queue
-- returns  {1, doc} when new, {0, the doc that is there} else
local there = redis.call('HGET', KEYS[1], 'doc')
if there then return {0, there} end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'doc', ARGV[2], 'stage', ARGV[3], 'queue', ARGV[4], 'fence', 0, 'strikes', 0, 'until', 0, 'heard', 0)
redis.call('ZADD', KEYS[2], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
return {1, ARGV[2]}
