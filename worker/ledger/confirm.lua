-- End a closing row. The fence is raised, so a worker that is about to resend the closing message is refused.
-- A failed job is added to the dead list; the entry lives as long as the row. A job ends also if the list is broken.
--
-- KEYS[1]  job   hash  <prefix>job:<id>
-- KEYS[2]  due   zset  <prefix>due:<queue>
-- KEYS[3]  dead  zset  <prefix>dead          job id -> when its row expires, ms
-- KEYS[4]  ended hash  <prefix>ended         possible_duplicates: how many jobs ended with a possibly duplicate attempt
-- ARGV     id, doc, stage, row lifetime in ms, 1 for a job with a possibly duplicate attempt
-- returns  1, or 0 when the row is not closing
if redis.call('HGET', KEYS[1], 'stage') ~= 'closing' then return 0 end
redis.call('ZCARD', KEYS[2])  -- a key of another type fails here, before anything is written
redis.call('HSET', KEYS[1], 'doc', ARGV[2], 'stage', ARGV[3], 'until', 0)
redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[5] == '1' then redis.pcall('HINCRBY', KEYS[4], 'possible_duplicates', 1) end
if ARGV[3] == 'failed' then
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  redis.pcall('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  redis.pcall('ZADD', KEYS[3], now + tonumber(ARGV[4]), ARGV[1])
  redis.call('PEXPIRE', KEYS[3], ARGV[4], 'GT')
  redis.call('PEXPIRE', KEYS[3], ARGV[4], 'NX')
end
return 1
