-- Reads the value of a key, and what tells it from others.
-- KEYS: the bucket. ARGV: the bytes that are answered, the key. Answers how many bytes it is of, the value, and its digest.
local bytes = redis.call('HSTRLEN', KEYS[1], ARGV[2])
if bytes > tonumber(ARGV[1]) then
  return { bytes, false, false }
end
local value = redis.call('HGET', KEYS[1], ARGV[2])
return { bytes, value, value and redis.sha1hex(value) }
