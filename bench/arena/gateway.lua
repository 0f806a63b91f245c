-- GETs of a hundred users with their tokens, each with an identity that it has no right to.
-- Arguments: the file of tokens (one a line); and what is new in each request: nothing, `paths` (its path), or `traces`
-- (its path, and a header as tracing adds it).

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "tell.lua")

local requests, tails, turn, count, fresh = {}, {}, 0, 0, ""

function init(arguments)
  fresh = arguments[2] or ""
  for token in io.lines(arguments[1]) do
    local made = wrk.format("GET", wrk.path, {
      Host = wrk.headers["Host"], Authorization = "Bearer " .. token, Accept = "application/json",
      ["X-User-ID"] = "root", ["User-Agent"] = "bench/1",
    })
    requests[#requests + 1] = made
    tails[#tails + 1] = made:match("\r\n(.*)")
  end
end

function request()
  turn = turn % #requests + 1
  if fresh == "" then return requests[turn] end
  count = count + 1
  local line = "GET " .. wrk.path .. "/items/" .. count .. " HTTP/1.1\r\n"
  if fresh == "paths" then return line .. tails[turn] end
  return string.format("%straceparent: 00-%032x-%016x-01\r\n%s", line, count, count, tails[turn])
end
