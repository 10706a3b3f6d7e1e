-- Deletes keys of a bucket.
-- KEYS: the bucket, what is counted of its namespace. ARGV: what an entry counts beside its bytes, then the keys.
local bucket, counts, entry = KEYS[1], KEYS[2], tonumber(ARGV[1])
-- What is subtracted from zero is never written as -0, which is no number to Redis.
local freed = 0
for i = 2, #ARGV do
  if redis.call('HEXISTS', bucket, ARGV[i]) == 1 then
    freed = freed + #ARGV[i] + redis.call('HSTRLEN', bucket, ARGV[i]) + entry
    redis.call('HDEL', bucket, ARGV[i])
  end
end
if redis.call('EXISTS', bucket) == 0 then
  freed = tonumber(redis.call('HGET', counts, bucket) or 0)
  redis.call('HDEL', counts, bucket)
else
  redis.call('HINCRBY', counts, bucket, 0 - freed)
end
redis.call('HINCRBY', counts, 'total', 0 - freed)
return 0
