-- wrk's script: a new seed with every request of every thread. Arguments: model, images a request, Accept, first seed.
-- Without arguments it asks for the URL itself. What wrk counted is printed as JSON in the last line.
local threads = 0

function setup(thread)
  thread:set("thread", threads)
  threads = threads + 1
end

function init(args)
  model, n, accept, seed = args[1], tonumber(args[2]), args[3], tonumber(args[4])
  if model then
    seed = seed + thread * 2 ^ 28
    request = ask
  end
end

function ask()
  seed = seed + n
  local body = string.format('{"model":"%s","seed":%d,"n":%d}', model, seed, n)
  return wrk.format("POST", nil, { ["Content-Type"] = "application/json", ["Accept"] = accept }, body)
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local percentiles = {}
  for i, p in ipairs({ 50, 95, 99 }) do
    percentiles[i] = latency:percentile(p) / 1000
  end
  print(string.format('\n{"requests":%d,"seconds":%f,"failed":%d,"ms":[%s]}', summary.requests,
    summary.duration / 1e6, failed, table.concat(percentiles, ",")))
end
