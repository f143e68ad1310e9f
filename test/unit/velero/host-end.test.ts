// How the host ends: Shutdown, signals, the death of Velero, its own bugs. Each plugin is a process of its own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { killLeftPlugins, PROGRAM, startPlugin } from './go-plugin-client.ts'

const test = suite('end of the Velero plugin')

/** A Velero that only starts its plugin. */
const START_AND_WAIT = `require('node:child_process').spawn(process.execPath, [process.argv[1]], { stdio: 'inherit' })`

const BACKUP = JSON.stringify({ apiVersion: 'velero.io/v1', kind: 'Backup', metadata: { name: 'nightly' } })
const item = (fields: object) =>
  JSON.stringify({ kind: 'PersistentVolumeClaim', metadata: { name: 'data' }, ...fields })
const execute = (fields: object) => ({ plugin: 'dormouse.dev/tiny-backup', item: item(fields), backup: BACKUP })

let folder = ''
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'plugin-'))
})
test.after.each(() => {
  killLeftPlugins()
  rmSync(folder, { recursive: true, force: true })
})

test('Shutdown ends an idle plugin within a second, with code 0, though the streams of go-plugin are open', async () => {
  const plugin = await startPlugin({ env: { TMPDIR: folder } })
  const streams = [
    plugin.openStream('/plugin.GRPCStdio/StreamStdio'),
    plugin.openStream('/plugin.GRPCBroker/StartStream'),
  ]
  assert.equal(await plugin.call('/grpc.health.v1.Health/Check', { service: 'plugin' }), { status: 1 })
  const { code, tookMs } = await plugin.shutdown()
  assert.is(code, 0)
  assert.ok(tookMs < 1000, `${tookMs} ms`)
  assert.equal(await Promise.all(streams.map(({ ended }) => ended)), [0, 0])
})

test('a client that cancels its streams leaves the plugin whole', async () => {
  const plugin = await startPlugin({ env: { TMPDIR: folder } })
  const streams = [
    plugin.openStream('/plugin.GRPCStdio/StreamStdio'),
    plugin.openStream('/plugin.GRPCBroker/StartStream'),
  ]
  await plugin.call('/grpc.health.v1.Health/Check', { service: 'plugin' })
  for (const { cancel } of streams) cancel()
  await sleep(50)
  assert.equal(await plugin.call('/grpc.health.v1.Health/Check', { service: 'plugin' }), { status: 1 })
  assert.is((await plugin.shutdown()).code, 0)
  assert.equal(plugin.log().length, 1, 'only what the plugin itself printed')
})

test('Shutdown lets a call in hand come to its end', async () => {
  const plugin = await startPlugin({ env: { TMPDIR: folder } })
  const answer = plugin.call('/v2.BackupItemAction/Execute', execute({ do: 'sleep', ms: 400 }))
  await plugin.call('/grpc.health.v1.Health/Check', { service: 'plugin' })
  const { code } = await plugin.shutdown()
  assert.is(code, 0)
  assert.is((await answer)['operationID'], 'of-nightly')
})

test('Shutdown cuts a call that hangs before Velero would kill the process, and says so', async () => {
  const plugin = await startPlugin({ env: { TMPDIR: folder } })
  const answer = plugin.call('/v2.BackupItemAction/Execute', execute({ do: 'hang' })).catch(() => 'cut')
  await plugin.call('/grpc.health.v1.Health/Check', { service: 'plugin' })
  const { code, tookMs } = await plugin.shutdown()
  assert.is(code, 0)
  assert.ok(tookMs < 2000, `${tookMs} ms`)
  assert.is(await answer, 'cut')
  assert.match(plugin.log().at(-1)?.['@message'] ?? '', 'calls in hand were cut')
  assert.equal(readdirSync(folder), [])
})

test('SIGINT is ignored, SIGTERM is an orderly end', async () => {
  const plugin = await startPlugin({ env: { TMPDIR: folder } })
  plugin.child.kill('SIGINT')
  await sleep(100)
  assert.equal(await plugin.call('/grpc.health.v1.Health/Check', { service: 'plugin' }), { status: 1 })
  plugin.child.kill('SIGTERM')
  await plugin.end()
  assert.equal([plugin.child.exitCode, plugin.child.signalCode], [0, null])
  assert.equal(readdirSync(folder), [])
})

test('the plugin of a Velero that was killed ends by itself and leaves no socket', async () => {
  const velero = spawn(process.execPath, ['-e', START_AND_WAIT, PROGRAM], {
    env: { PATH: process.env['PATH'], VELERO_PLUGIN: 'hello', TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await once(velero.stdout, 'data')
  assert.is(readdirSync(folder).length, 1)
  velero.kill('SIGKILL')
  await once(velero, 'close', { signal: AbortSignal.timeout(20_000) }) // the plugin holds its stdout until it ends
  assert.equal(readdirSync(folder), [])
})

for (const how of ['crash', 'reject']) {
  test(`an error that nobody catches (${how}) is a log line with its stack, and ends the process with code 1`, async () => {
    const plugin = await startPlugin({ env: { TMPDIR: folder } })
    await plugin.call('/v2.BackupItemAction/Execute', execute({ do: how, why: 'a bug' })).catch(() => undefined)
    await plugin.end()
    assert.is(plugin.child.exitCode, 1)
    const last = plugin.log().at(-1)
    assert.is(last?.['@level'], 'error')
    assert.match(last?.['error'] ?? '', 'tiny-plugin.ts')
    assert.equal(readdirSync(folder), [])
  })
}

test.run()
