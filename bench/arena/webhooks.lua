-- Webhooks of 1 KiB, each with an id of its own and signed, at about three microseconds apiece.
-- Arguments: the secret, a word that makes this run's ids unlike those of every other run.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "tell.lua")

local ffi = require "ffi"
ffi.cdef [[
  typedef struct evp_md_st EVP_MD;
  const EVP_MD *EVP_sha256(void);
  unsigned char *HMAC(const EVP_MD *hash, const void *key, int key_length, const unsigned char *text, size_t length,
                      unsigned char *made, unsigned int *made_length);
]]
local linked, crypto = pcall(function() return ffi.C.EVP_sha256() and ffi.C end)
if not linked then crypto = ffi.load("crypto") end

local hash, made = crypto.EVP_sha256(), ffi.new("unsigned char[64]")
local hex = {}
for byte = 0, 255 do hex[byte] = string.format("%02x", byte) end
local digits, count, secret, word, head, padding = {}, 0, "", "", "", ""

function init(arguments)
  secret, word = arguments[1], arguments[2]
  head = "POST /bench HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\nContent-Type: application/json\r\n" ..
    "User-Agent: bench/1\r\nContent-Length: 1024\r\nX-Event-Id: "
  padding = string.rep("x", 1024 - #body("000000000000", ""))
end

function body(number, text)
  return '{"id": "' .. word .. number .. '", "type": "payment.settled", "amount": 10.0, "note": "' .. text .. '"}'
end

function request()
  count = count + 1
  local number = string.format("%012d", count)
  local text = body(number, padding)
  crypto.HMAC(hash, secret, #secret, text, #text, made, nil)
  for at = 0, 31 do digits[at + 1] = hex[made[at]] end
  return head .. word .. number .. "\r\nX-Signature: sha256=" .. table.concat(digits) .. "\r\n\r\n" .. text
end
