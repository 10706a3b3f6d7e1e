-- Increments the number of a key.
-- KEYS: the bucket, what is counted of its namespace. ARGV: the bytes that may be kept, what an entry counts beside them, the key, the number
-- to add, whether numbers may be below zero. Answers what became of it, and the sum or how many bytes there would be.
local bucket, counts, most, entry = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local key, delta, is_signed = ARGV[3], ARGV[4], ARGV[5] == '1'
local total = tonumber(redis.call('HGET', counts, 'total') or 0)
local held = tonumber(redis.call('HGET', counts, bucket) or 0)
if held > 0 and redis.call('EXISTS', bucket) == 0 then
  -- Somebody else removed it.
  total, held = total - held, 0
end

local value = redis.call('HGET', bucket, key)
if value and not string.find(value, is_signed and '^-?%d+$' or '^%d+$') then
  return { 'number', '' }
end
local before = value and #key + #value + entry or 0
if not value and total + #key + #delta + entry > most then
  return { 'quota', tostring(total + #key + #delta + entry) }
end
-- Its answer would be rounded: Lua's numbers are of 53 bits.
local added = redis.pcall('HINCRBY', bucket, key, delta)
if type(added) == 'table' and added.err then
  return { string.find(added.err, 'hash value') and 'number' or 'overflow', '' }
end
local sum = redis.call('HGET', bucket, key)
local grown = #key + #sum + entry - before
redis.call('HSET', counts, 'total', total + grown, bucket, held + grown)
return { 'sum', sum }
