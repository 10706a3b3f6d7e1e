-- Lists keys of a bucket, without their values.
-- KEYS: the bucket. ARGV: where to go on, about how many. Answers where the next are, and the keys.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local keys = {}
for i = 1, #page[2], 2 do
  keys[#keys + 1] = page[2][i]
end
return { page[1], keys }
