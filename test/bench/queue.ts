// Requests to the API server, and objects read, of N uploads that wait for two slots. Usage: node test/bench/queue.ts [N ...]

import { type Cost, measureQueue } from '#test/support/queue-load.ts'

const numbers = process.argv.slice(2).map(Number)
const text = ({ requests, objects }: Cost) => `${requests} | ${objects}`
console.log(
  '| Uploads | Requests until all wait | Objects read | Requests until all have had their turn | Objects read |',
)
console.log('|---|---|---|---|---|')
for (const count of numbers.length > 0 ? numbers : [100, 200, 400, 2000]) {
  const { queueing, draining } = await measureQueue(count)
  console.log(`| ${count} | ${text(queueing)} | ${text(draining)} |`)
}
