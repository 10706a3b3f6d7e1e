-- Sets values of a bucket, all of them or none.
-- KEYS: the bucket, what is counted of its namespace. ARGV: the bytes that may be kept, what an entry counts beside them, then keys and values
-- in turn. Answers 0, or how many bytes there would be.
local bucket, counts, most, entry = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local total = tonumber(redis.call('HGET', counts, 'total') or 0)
local held = tonumber(redis.call('HGET', counts, bucket) or 0)
if held > 0 and redis.call('EXISTS', bucket) == 0 then
  -- Somebody else removed it.
  total, held = total - held, 0
end

local sizes, grown = {}, 0
for i = 3, #ARGV, 2 do
  local key, size = ARGV[i], #ARGV[i] + #ARGV[i + 1] + entry
  local before = sizes[key]
  if not before then
    local there = redis.call('HEXISTS', bucket, key) == 1
    before = there and #key + redis.call('HSTRLEN', bucket, key) + entry or 0
  end
  grown, sizes[key] = grown + size - before, size
end
if grown > 0 and total + grown > most then
  return total + grown
end

for i = 3, #ARGV, 2 do
  redis.call('HSET', bucket, ARGV[i], ARGV[i + 1])
end
redis.call('HSET', counts, 'total', total + grown, bucket, held + grown)
return 0
