"""What must happen in Redis at once, in Lua. Knows the layout of `keys` and nothing of streams."""

ADD = """
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""  # streams; id, record, limit

# Appends with an id of Redis's time, but never at or before the newest event or `after_ms`: a clock may be put back,
# and a restarted Redis has forgotten how far it was.
_APPEND = """
local function append(key, name, data, kept, after_ms)
  local time = redis.call('TIME')
  local ms = time[1] * 1000 + math.floor(time[2] / 1000)
  if after_ms >= ms then ms = after_ms + 1 end
  local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if newest[1] then
    local newest_ms = tonumber(string.match(newest[1][1], '^%d+'))
    if newest_ms > ms then ms = newest_ms end
  end
  return redis.call('XADD', key, 'MAXLEN', kept, string.format('%.0f-*', ms), 'name', name, 'data', data)
end
"""

# 'free': nobody holds the stream, as after a restart of Redis. Its holder puts it back with `KEEP`, and may go on.
_CHECK = """
local function check(lease, removed, token)
  local holder = redis.call('GET', lease)
  if holder == token then return 'ours' end
  if holder or redis.call('EXISTS', removed) == 1 then return 'fenced' end
  return 'free'
end
"""

APPEND = (
    _APPEND
    + _CHECK
    + """
local verdict = check(KEYS[1], KEYS[2], ARGV[1])
if verdict ~= 'ours' then return verdict end
return append(KEYS[3], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]))
"""
)  # lease, removed, events; token, name, data, kept, after_ms: the id, or the verdict

REMOVE = (
    _APPEND
    + """
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('SET', KEYS[4], '1', 'EX', 3600)
redis.call('DEL', KEYS[2], KEYS[5])
redis.call('HDEL', KEYS[6], ARGV[1])
if ARGV[2] ~= '' then append(KEYS[3], ARGV[2], ARGV[3], ARGV[4], 0) end
redis.call('EXPIRE', KEYS[3], 60)
return 1
"""
)  # streams, lease, events, removed, status, read; id, name, data, kept

TAKE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
return redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) and 1 or 0
"""  # streams, lease; id, token, lease_ms

KEEP = """
if redis.call('EXISTS', KEYS[3]) == 1 then return 'removed' end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then return 'lost' end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[4])
return 'kept'
"""  # streams, lease, removed; id, token, lease_ms, record

GIVE_UP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""  # lease; token

REPORT = (
    _CHECK
    + """
local verdict = check(KEYS[1], KEYS[2], ARGV[1])
if verdict == 'ours' then redis.call('SET', KEYS[3], ARGV[2]) end
return verdict
"""
)  # lease, removed, status; token, text: the verdict

UNREAD = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSETNX', KEYS[1], ARGV[1], string.format('%.0f', now))
return now - tonumber(redis.call('HGET', KEYS[1], ARGV[1]))
"""  # read; id: ms

READ = """
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
return 1
"""  # read; id

PRESENT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""  # replicas; replica, for_ms
