-- Store a task's state unless a final state is stored, and notify waiting callers.
--
-- KEYS[1]  meta  string  celery-task-meta-<id>   Celery's own JSON, read by every client
-- channel  the same name: Celery's `get()` subscribes to it
-- ARGV     the new meta, lifetime in s (0: no expiry), then the states that are final
-- returns  1, or 0 when a final state is stored
local there = redis.call('GET', KEYS[1])
if there then
  local ok, meta = pcall(cjson.decode, there)
  for i = 3, #ARGV do
    if ok and meta.status == ARGV[i] then return 0 end
  end
end
if tonumber(ARGV[2]) > 0 then
  redis.call('SETEX', KEYS[1], ARGV[2], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
