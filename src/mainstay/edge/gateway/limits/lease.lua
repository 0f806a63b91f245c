-- Takes up to ARGV[3] requests from the bucket KEYS[1], whose interval is ARGV[1] and which may be ARGV[2] ahead, all in
-- microseconds. Gives how many were taken, by how much the bucket is ahead then, and how long until it admits another.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local interval, full, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tat = tonumber(redis.call('GET', KEYS[1]) or '0')
if tat < now then tat = now end
if tat > now + full then tat = now + full end -- the clock was set back
local took = math.min(want, math.floor((now + full - tat) / interval))
if took > 0 then
  tat = tat + took * interval
  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
end
return {took, tat - now, math.max(0, tat + interval - now - full)}
