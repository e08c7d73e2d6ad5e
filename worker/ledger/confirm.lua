-- End a closing row. The fence moves on, so that whoever was about to send its closing message again is refused.
--
-- KEYS[1]  job   hash  <prefix>job:<id>
-- KEYS[2]  due   zset  <prefix>due:<queue>
-- ARGV     id, doc, stage, forget in ms
-- returns  1, or 0 when the row is not closing
if redis.call('HGET', KEYS[1], 'stage') ~= 'closing' then return 0 end
redis.call('HSET', KEYS[1], 'doc', ARGV[2], 'stage', ARGV[3], 'until', 0)
redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
