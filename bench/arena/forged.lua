-- GETs with tokens that nobody signed, each unlike every other one.
-- Arguments: a word that makes this run's tokens unlike those of every other run, the signed part of a token.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "tell.lua")

local count, head, word, tail = 0, "", "", ""

function init(arguments)
  word = arguments[1]
  head = "GET " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\nAuthorization: Bearer " ..
    arguments[2] .. "."
  tail = "\r\nUser-Agent: flood/1\r\n\r\n"
end

function request()
  count = count + 1
  return head .. word .. string.format("%0" .. (43 - #word) .. "d", count) .. tail
end
