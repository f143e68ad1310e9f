// A function's metrics: Prometheus' text, and what it pushes to a collector before the pod ends.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Counter, createMetrics, Histogram } from '#shared/runtime/metrics.ts'
import { collectorUrl } from '#shared/runtime/otlp.ts'
import { eventHeaders, post, startFunction } from './runtime-support.ts'

const test = suite('metrics')

test('a counter counts by its labels, in whatever order they are named', () => {
  const counter = new Counter('c_total', 'Things.')
  counter.add({ a: '1', b: '2' })
  counter.add({ b: '2', a: '1' }, 4)
  counter.add({})
  assert.is(counter.get({ a: '1', b: '2' }), 5)
  assert.is(counter.get({ a: '9' }), 0)
  assert.equal(counter.lines(), ['c_total{a="1",b="2"} 5', 'c_total 1'])
})

test('what would break a line of the text form is escaped', () => {
  const counter = new Counter('c_total', 'Things.')
  counter.add({ a: 'x"\\\n' })
  assert.equal(counter.lines(), ['c_total{a="x\\"\\\\\\n"} 1'])
})

test('a histogram counts each value in every bucket that it fits into', () => {
  const histogram = new Histogram('h_seconds', 'Time.', [0.1, 1])
  for (const value of [0.1, 0.5, 7]) histogram.observe({ a: '1' }, value)
  assert.equal(histogram.lines(), [
    'h_seconds_bucket{a="1",le="0.1"} 1',
    'h_seconds_bucket{a="1",le="1"} 2',
    'h_seconds_bucket{a="1",le="+Inf"} 3',
    'h_seconds_sum{a="1"} 7.6',
    'h_seconds_count{a="1"} 3',
  ])
})

test('the text form carries type and help of every metric, also of one without a value', () => {
  const metrics = createMetrics()
  metrics.all.push(new Counter('mine_total', 'Mine.'))
  assert.match(metrics.render(), '# HELP dormouse_slices_total Slices')
  assert.match(metrics.render(), '# TYPE dormouse_request_seconds histogram\n')
  assert.match(metrics.render(), '# TYPE mine_total counter\n')
  assert.ok(metrics.render().endsWith('\n'))
})

test('the collector is named by the variables of OpenTelemetry', () => {
  assert.is(collectorUrl({}), undefined)
  assert.is(collectorUrl({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318/' }), 'http://c:4318/v1/metrics')
  const exact = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c', OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://m/x' }
  assert.is(collectorUrl(exact), 'http://m/x')
})

test('a function that stops pushes its counts first', async () => {
  const bodies: string[] = []
  const collector = createServer((request, response) => {
    let body = `${request.url} `
    request.setEncoding('utf8').on('data', (text) => {
      body += text
    })
    request.on('end', () => {
      bodies.push(body)
      response.end('{}')
    })
  })
  await once(collector.listen(0, '127.0.0.1'), 'listening')
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
  try {
    const served = await startFunction()
    await post(served.url, eventHeaders())
    await served.stop()
    await served.stop() // a second call does nothing
  } finally {
    delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT']
    collector.closeAllConnections()
    collector.close()
  }
  assert.is(bodies.length, 1)
  const [path, ...rest] = bodies[0]?.split(' ') ?? []
  assert.is(path, '/v1/metrics')
  const { resource, scopeMetrics } = JSON.parse(rest.join(' ')).resourceMetrics[0]
  assert.equal(resource.attributes[0], { key: 'service.name', value: { stringValue: 'test' } })
  const byName = Object.fromEntries(scopeMetrics[0].metrics.map((metric: { name: string }) => [metric.name, metric]))
  const [point] = byName['dormouse_requests_total'].sum.dataPoints
  assert.is(point.asDouble, 1)
  assert.match(point.timeUnixNano, /^\d{19}$/)
  const outcome = { key: 'outcome', value: { stringValue: 'done' } }
  assert.equal(point.attributes, [{ key: 'function', value: { stringValue: 'test' } }, outcome])
  const [spread] = byName['dormouse_request_seconds'].histogram.dataPoints
  assert.is(spread.count, '1')
  assert.is(spread.bucketCounts.length, spread.explicitBounds.length + 1)
})

test('a collector that is away does not hold up the end', async () => {
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = 'http://127.0.0.1:1'
  try {
    const served = await startFunction()
    await served.stop()
    assert.ok(served.lines.some(({ reason }) => reason === 'MetricsNotPushed'))
  } finally {
    delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT']
  }
})

test.run()
