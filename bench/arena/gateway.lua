-- GETs of a hundred users with their tokens, each with an identity that it has no right to.
-- Arguments: the file of tokens (one a line).

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "tell.lua")

local requests, turn = {}, 0

function init(arguments)
  for token in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("GET", wrk.path, {
      Host = wrk.headers["Host"], Authorization = "Bearer " .. token, Accept = "application/json",
      ["X-User-ID"] = "root", ["User-Agent"] = "bench/1",
    })
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
