-- Sets the value of a key if it still has the one that was seen.
-- KEYS: the bucket, what is counted of its namespace. ARGV: the bytes that may be kept, what an entry counts beside them, the key, the value,
-- the digest of what was seen, empty if there was none. Answers what became of it, and the digest of what is there or how many bytes there
-- would be.
local bucket, counts, most, entry = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local key, value, seen = ARGV[3], ARGV[4], ARGV[5]
local total = tonumber(redis.call('HGET', counts, 'total') or 0)
local held = tonumber(redis.call('HGET', counts, bucket) or 0)
if held > 0 and redis.call('EXISTS', bucket) == 0 then
  -- Somebody else removed it.
  total, held = total - held, 0
end

local there = redis.call('HGET', bucket, key)
local now = there and redis.sha1hex(there) or ''
if now ~= seen then
  return { 'stale', now }
end
local grown = #key + #value + entry - (there and #key + #there + entry or 0)
if grown > 0 and total + grown > most then
  return { 'quota', tostring(total + grown) }
end
redis.call('HSET', bucket, key, value)
redis.call('HSET', counts, 'total', total + grown, bucket, held + grown)
return { 'done', '' }
