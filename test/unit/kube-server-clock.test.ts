// Creation times are compared with the API server's clock, whatever the clock of this node says.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createCluster } from '#shared/adapters/kube/cluster.ts'

const clock = suite("the API server's clock")

clock(
  'after an answer the clock is that of the answer; before it, and without a date in it, the own clock',
  async () => {
    const aheadMs = 3 * 3_600_000
    let tells = true
    const server = createServer((_request, response) => {
      response.sendDate = false
      if (tells) response.setHeader('date', new Date(Date.now() + aheadMs).toUTCString())
      response.writeHead(404, { 'content-type': 'application/json' })
      response.end(
        JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 }),
      )
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const { Agent } = await import('node:http')
    const agent = new Agent({ keepAlive: false })
    const access = { server: new URL(`http://127.0.0.1:${port}`), agent, headers: async () => ({}) }
    const cluster = createCluster({ findAccess: async () => access as never })
    const offMs = () => cluster.nowMs() - Date.now()
    assert.ok(Math.abs(offMs()) < 1000)
    await cluster.read('Snapshot', 'app', 'x')
    assert.ok(Math.abs(offMs() - aheadMs) < 2000, `${offMs()} ms ahead`)
    tells = false
    await cluster.read('Snapshot', 'app', 'x')
    assert.ok(Math.abs(offMs() - aheadMs) < 2000, 'an answer without a date changes nothing')
    server.close()
  },
)

clock.run()
