-- Accept a job: write its row and make it due, unless the row is already past the stage 'sent'.
-- New jobs are back-dated, so that they are claimed before polls when a worker cannot keep up; those of priority high more.
-- Each tenant may begin 16 jobs of a queue at once, and two a second from then on, in this way. What it sends beyond
-- this share is begun with spare capacity (claim.lua), whatever its priority. An older version claims such a row a minute
-- later.
--
-- KEYS[1]  job   hash  <prefix>job:<id>      doc, stage, queue, version, fence, strikes, until, heard, taken,
--     signal:<name>
--     doc: the job as JSON; fence: number of the newest claim; strikes: claims since the last write;
--     version: of the worker or producer that wrote it; a worker leaves a row of a newer version alone;
--     until: end of the claim's lease, 0 when not claimed; heard: signals so far; taken: see take.lua; times in ms
-- KEYS[2]  due   zset  <prefix>due:<queue>   job id -> due time, ms since the epoch by Redis's clock
-- KEYS[3]  once  hash  <prefix>once:<key>    job, of (fingerprint): only with an idempotency key
-- touches  due   zset  of the queue that a sent row waited in
--          noted string <prefix>cancelled:<id>  see signal.lua
--          share string <prefix>share:<queue>:<tenant>  until when its share is used, in ms; expires then
--          spare zset   <prefix>spare:<queue>   job id -> when it was accepted, in ms
-- ARGV     id, doc, stage, queue, prefix, version, tenant or '', ms to back-date; with an idempotency key also:
--          fingerprint, key lifetime in ms
-- returns  {1, doc} for a new row; {0, stored doc} for an existing one; {-1, id, fingerprint} of the job that owns the key
local row = redis.call('HMGET', KEYS[1], 'doc', 'stage', 'queue', 'version')
if row[1] and (row[2] ~= 'sent' or (tonumber(row[4]) or 0) > tonumber(ARGV[6])) then return {0, row[1]} end
redis.call('ZCARD', KEYS[2])  -- a key of another type fails here, before anything is written
if KEYS[3] then
  local held = redis.call('HMGET', KEYS[3], 'job', 'of')
  if held[1] and held[1] ~= ARGV[1] then return {-1, held[1], held[2]} end
  if not held[1] then
    redis.call('HSET', KEYS[3], 'job', ARGV[1], 'of', ARGV[9])
    redis.call('PEXPIRE', KEYS[3], ARGV[10])
  end
end
if row[3] and row[3] ~= ARGV[4] then redis.call('ZREM', ARGV[5] .. 'due:' .. row[3], ARGV[1]) end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'doc', ARGV[2], 'stage', ARGV[3], 'queue', ARGV[4], 'version', ARGV[6], 'strikes', 0, 'until', 0)
redis.call('HSETNX', KEYS[1], 'heard', 0)
redis.call('HINCRBY', KEYS[1], 'fence', 1)
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local due = now - tonumber(ARGV[8])
if redis.call('EXISTS', ARGV[5] .. 'cancelled:' .. ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'signal:cancel', 1)
  redis.call('HINCRBY', KEYS[1], 'heard', 1)
elseif ARGV[7] ~= '' then
  local share = ARGV[5] .. 'share:' .. ARGV[4] .. ':' .. ARGV[7]
  local found = redis.pcall('GET', share)
  local used_until = math.max(now, type(found) == 'string' and tonumber(found) or 0)
  if used_until - now < 16 * 500 then
    redis.call('SET', share, used_until + 500, 'PX', used_until + 500 - now)
  elseif type(redis.pcall('ZADD', ARGV[5] .. 'spare:' .. ARGV[4], now, ARGV[1])) == 'number' then
    due = now + 60000
  end
end
redis.call('ZADD', KEYS[2], due, ARGV[1])
return {1, ARGV[2]}
