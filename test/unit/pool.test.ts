// The order in which test processes run, and how many run at a time.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { junitXml } from '../runner/junit.ts'
import type { Part } from '../runner/parts.ts'
import { longestFirst, nextPart, runPool } from '../runner/pool.ts'

const pool = suite('test/runner')

const part = (name: string, load = 1): Part => ({ name, command: [], limitMs: 1000, load })
const names = (parts: readonly Part[]) => parts.map(({ name }) => name)

pool('the longest goes first, and before it what was never timed', () => {
  const parts = [part('short'), part('new'), part('long')]
  assert.equal(names(longestFirst(parts, { short: 1, long: 90 })), ['new', 'long', 'short'])
})

pool('a part that does not fit lets a smaller one pass, and runs alone when it fits nowhere', () => {
  const [big, small] = [part('big', 2), part('small')]
  assert.is(nextPart([big, small], [part('runs', 1)], 2), small)
  assert.is(nextPart([big], [part('runs', 1)], 2), undefined)
  assert.is(nextPart([part('huge', 9)], [], 2)?.name, 'huge')
})

pool('each part runs once, and never more than the machine carries', async () => {
  const parts = Array.from({ length: 20 }, (_, index) => part(`p${index}`, 1 + (index % 2)))
  let load = 0
  const ended = await runPool(parts, 4, async (one) => {
    load += one.load
    assert.ok(load <= 4, `${load} at once`)
    await new Promise(setImmediate)
    load -= one.load
    return one.name
  })
  assert.equal(ended.sort(), names(parts).sort())
})

pool('the XML of results has no character that XML forbids', () => {
  const ended = { part: part('a & "b"'), passed: 1, failed: 1, seconds: 2, output: 'x < y\u001b[0m\u0000' }
  const xml = junitXml([ended])
  assert.match(xml, 'name="a &amp; &quot;b&quot;" tests="2" failures="1" time="2.0"')
  assert.match(xml, '<failure>x &lt; y[0m</failure>')
})

pool.run()
