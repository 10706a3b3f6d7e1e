-- Reads values of a bucket.
-- KEYS: the bucket. ARGV: the bytes that are answered, then the keys. Answers the values, or how many bytes they are.
local bytes, found = 0, {}
for i = 2, #ARGV do
  bytes = bytes + redis.call('HSTRLEN', KEYS[1], ARGV[i])
end
if bytes > tonumber(ARGV[1]) then
  return bytes
end
for i = 2, #ARGV do
  found[i - 1] = redis.call('HGET', KEYS[1], ARGV[i])
end
return found
