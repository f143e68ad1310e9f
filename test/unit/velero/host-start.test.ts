// The host's start as Velero sees it: handshake, sockets, flags. Each plugin is a process of its own.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { killLeftPlugins, readLogLine, runPlugin, startPlugin } from './go-plugin-client.ts'

const test = suite('start of the Velero plugin')

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

test('stdout holds the handshake line and nothing else, whatever prints before and after it', async () => {
  const plugin = await startPlugin({ env: { TMPDIR: folder } })
  await plugin.call('/v2.BackupItemAction/Execute', execute({ do: 'print' }))
  await plugin.shutdown()
  assert.equal(plugin.stdout, [`1|2|unix|${plugin.handshake.address}|grpc|`])
  const said = plugin.log().map((line) => line['@message'])
  const printed = [
    'printed before the handshake',
    'printed with console.log',
    'printed with console.error\nin two lines',
    'printed to stdout',
    'printed to stderr',
    'printed as a warning',
  ]
  assert.equal(said, printed)
  for (const line of plugin.log()) assert.match(line['logSource'] ?? '', /tiny-plugin\.ts:\d+$/, line['@message'])
})

test('the socket lies in TMPDIR, is for its owner only, and is gone after the end', async () => {
  const plugin = await startPlugin({ env: { TMPDIR: folder } })
  const { network, address } = plugin.handshake
  assert.equal([network, dirname(address)], ['unix', folder])
  assert.is(statSync(address).mode & 0o777, 0o600)
  await plugin.shutdown()
  assert.equal(readdirSync(folder), [])
})

for (const [what, env] of Object.entries({
  'without its cookie': { VELERO_PLUGIN: '' },
  'with another cookie': { VELERO_PLUGIN: 'hi' },
})) {
  test(`${what} it ends with code 1 and tells a person what it is`, async () => {
    const { code, lines, stderr } = await runPlugin({ env: { TMPDIR: folder, ...env } })
    assert.equal([code, lines], [1, []])
    assert.is(stderr.length, 1)
    assert.match(stderr[0] ?? '', /plugin of Velero.*velero plugin add/)
  })
}

test('the protocol is one of a list; for another one the line still says ours, so that Velero names both', async () => {
  for (const [versions, lines] of [
    ['1,2', 0],
    ['3', 1],
  ] as const) {
    const plugin = await startPlugin({ env: { TMPDIR: folder, PLUGIN_PROTOCOL_VERSIONS: versions } })
    await plugin.shutdown()
    assert.is(plugin.log().filter((line) => /another version/.test(line['@message'] ?? '')).length, lines)
  }
})

test('the plugin ignores the flags of the Velero server, except --log-level', async () => {
  const args = ['--features=EnableCSI', '--uploader-type', 'kopia', '--nonsense', '-v', '--log-level=error', 'x']
  const plugin = await startPlugin({ env: { TMPDIR: folder }, args })
  await plugin.call('/v2.BackupItemAction/Execute', execute({ do: 'warn', message: 'no' }))
  await plugin.shutdown()
  assert.equal(plugin.stderr, [])
  const debug = await startPlugin({ env: { TMPDIR: folder }, args: ['--log-level', 'debug'] })
  await debug.shutdown()
  assert.match(
    debug
      .log()
      .map((line) => `${line['@level']} ${line['@message']}`)
      .join('\n'),
    /^debug listens on unix/m,
  )
})

test('a TMPDIR that takes no socket is passed over', async () => {
  const tooLong = join(folder, 'long'.repeat(30))
  mkdirSync(tooLong)
  const withBar = join(folder, 'a|b')
  mkdirSync(withBar)
  for (const unfit of [join(folder, 'missing'), tooLong, withBar]) {
    const plugin = await startPlugin({ env: { TMPDIR: unfit } })
    const { network, address } = plugin.handshake
    assert.equal([network, dirname(address)], ['unix', '/tmp'])
    assert.is((await plugin.shutdown()).code, 0)
    assert.not.ok(existsSync(address))
    assert.is(plugin.log().length, 1, 'it is no news')
  }
})

test('PLUGIN_UNIX_SOCKET_DIR is used before all others', async () => {
  const plugin = await startPlugin({ env: { TMPDIR: '/tmp', PLUGIN_UNIX_SOCKET_DIR: folder } })
  assert.is(dirname(plugin.handshake.address), folder)
  await plugin.shutdown()
})

test('where no folder takes a socket it listens on the first free port of the range, on 127.0.0.1 only', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const first = (taken.address() as { port: number }).port
  const ports = { PLUGIN_MIN_PORT: String(first), PLUGIN_MAX_PORT: String(first + 50) }
  const plugin = await startPlugin({ env: { PLUGIN_UNIX_SOCKET_DIR: join(folder, 'missing'), ...ports } })
  const [host, port] = plugin.handshake.address.split(':')
  assert.equal([plugin.handshake.network, host], ['tcp', '127.0.0.1'])
  assert.ok(Number(port) > first && Number(port) <= first + 50, port)
  assert.equal(await plugin.call('/grpc.health.v1.Health/Check', { service: 'plugin' }), { status: 1 })
  assert.is((await plugin.shutdown()).code, 0)
  taken.close()
})

test('where nothing is left to listen on it says each refusal and ends', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const port = String((taken.address() as { port: number }).port)
  const env = { PLUGIN_UNIX_SOCKET_DIR: join(folder, 'missing'), PLUGIN_MIN_PORT: port, PLUGIN_MAX_PORT: port }
  const { code, lines, stderr } = await runPlugin({ env })
  taken.close()
  assert.equal([code, lines], [1, []])
  const last = readLogLine(stderr.at(-1) ?? '')
  assert.is(last['@message'], 'the plugin could not start')
  assert.match(last['error'] ?? '', new RegExp(`missing: .*no free port from ${port} to ${port}`))
})

for (const [how, said] of [
  ['broken', 'no settings'],
  ['double', 'is there twice'],
] as const) {
  test(`actions that are ${how} end the process before the handshake, with a log line`, async () => {
    const { code, lines, stderr } = await runPlugin({ env: { TMPDIR: folder, TINY_PLUGIN: how } })
    assert.equal([code, lines], [1, []])
    const last = readLogLine(stderr.at(-1) ?? '')
    assert.is(last['@level'], 'error')
    assert.match(last['error'] ?? '', said)
  })
}

test.run()
