"""What must happen in Redis at once, in Lua. Knows the layout of `keys` and nothing of what is kept."""

ADD = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 'removed' end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 'there' end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'added'
"""  # records, removed; id, record, limit

# Appends with an id of Redis's time, but never at or before the newest event or `after`: a clock may be put back, and a
# restarted Redis has forgotten how far it was. `before` is whichever of the two came last.
_APPEND = """
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function append(key, name, data, kept, after)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local before = after
  local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if newest[1] then
    local newest_ms, newest_seq = parts(newest[1][1])
    local after_ms, after_seq = parts(after)
    if newest_ms > after_ms or (newest_ms == after_ms and newest_seq > after_seq) then before = newest[1][1] end
  end
  local ms, seq = parts(before)
  local id = string.format('%.0f-%.0f', ms, seq + 1)
  if now > ms then id = string.format('%.0f-0', now) end
  return redis.call('XADD', key, 'MAXLEN', kept, id, 'name', name, 'data', data, 'before', before)
end
"""

# 'free': nobody holds the record, as after a restart of Redis. Its holder puts it back with `KEEP`, and may go on.
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
if ARGV[6] ~= '' then redis.call('SET', KEYS[4], ARGV[6]) end
return append(KEYS[3], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
"""
)  # lease, removed, events, report; token, name, data, kept, after, report: the id, or the verdict

REMOVE = (
    _APPEND
    + """
local there = redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('SET', KEYS[4], '1', 'EX', there == 1 and ARGV[5] or ARGV[6])
redis.call('DEL', KEYS[2], KEYS[5], KEYS[7])
redis.call('HDEL', KEYS[6], ARGV[1])
if there == 1 and ARGV[2] ~= '' then append(KEYS[3], ARGV[2], ARGV[3], ARGV[4], '0-0') end
redis.call('EXPIRE', KEYS[3], ARGV[6])
return there
"""
)  # records, lease, events, removed, report, read, blob; id, name, data, kept, removed_s, last_words_s

TAKE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
return redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) and 1 or 0
"""  # records, lease; id, token, lease_ms

KEEP = """
if redis.call('EXISTS', KEYS[3]) == 1 then return 'removed' end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then return 'lost' end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[4])
if ARGV[5] ~= '' then redis.call('SET', KEYS[4], ARGV[5]) end
return 'kept'
"""  # records, lease, removed, report; id, token, lease_ms, record, report

GIVE_UP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""  # lease; token

PUT_BLOB = (
    _CHECK
    + """
local verdict = check(KEYS[1], KEYS[2], ARGV[1])
if verdict == 'ours' then redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3]) end
return verdict
"""
)  # lease, removed, blob; token, text, for_ms: the verdict

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

UNREAD = (
    _NOW
    + """
redis.call('HSETNX', KEYS[1], ARGV[1], string.format('%.0f', now))
return now - tonumber(redis.call('HGET', KEYS[1], ARGV[1]))
"""
)  # read; id: ms

READ = (
    _NOW
    + """
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now))
return 1
"""
)  # read; id

PRESENT = (
    _NOW
    + """
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return redis.call('HGETALL', KEYS[2])
"""
)  # replicas, about; replica, for_ms, about: replica, about, replica, about ...

LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
"""  # replicas, about; replica

COUNT = """
local seconds = table.remove(ARGV, 1)
for i = 1, #ARGV, 2 do
    redis.call("HINCRBY", KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call("EXPIRE", KEYS[1], seconds)
return #ARGV / 2
"""
