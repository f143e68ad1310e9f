// The plugin as it is shipped: one file that starts wherever Velero's own server does.

import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { PROJECT } from '#test/environment/process/tools.ts'
import { killLeftPlugins, runPlugin, startPlugin } from '#test/unit/velero/go-plugin-client.ts'
import { hostArchitecture } from '../../hack/node-binary.ts'
import { PLUGIN_FILE } from '../../velero/install.ts'
import { assertListed, assertOldLibraries } from './support/plugin-checks.ts'
import { builtPlugin, type Pod, podOf } from './support/plugin-file.ts'

const shipped = suite("the shipped file of Velero's plugin")

let plugins = ''
const pods: Pod[] = []
shipped.before(() => {
  plugins = mkdtempSync(join(tmpdir(), 'plugins-'))
  chmodSync(plugins, 0o755)
  runImage()
})
shipped.after(() => {
  killLeftPlugins()
  for (const pod of pods) pod.remove()
  rmSync(plugins, { recursive: true, force: true })
})

/** Runs what the image's Containerfile starts, with `plugins` as Velero's folder. */
function runImage(): void {
  const [, words = '[]'] = /^ENTRYPOINT (.*)$/m.exec(readFileSync(join(PROJECT, 'velero/Containerfile'), 'utf8')) ?? []
  const [program, ...args]: string[] = JSON.parse(words)
  assert.equal([program, args.at(-1)], [`/${PLUGIN_FILE}`, '/target'])
  execFileSync(builtPlugin(), [...args.slice(0, -1), plugins])
}

function pod(options: { scratch: boolean }): string[] {
  const made = podOf(plugins, options)
  pods.push(made)
  return made.command
}

shipped('installed, exactly one file of the plugins folder is executable, and there is no symbolic link', () => {
  runImage() // again, as after a death in between
  const names = readdirSync(plugins, { recursive: true, encoding: 'utf8' })
  const odd = names.filter((name) => !lstatSync(join(plugins, name)).isFile())
  const executable = names.filter((name) => (statSync(join(plugins, name)).mode & 0o111) !== 0)
  assert.equal([odd, executable], [[], [PLUGIN_FILE]])
})

shipped('an installation that cannot be whole leaves nothing executable, and says why', () => {
  const folder = mkdtempSync(join(tmpdir(), 'full-'))
  try {
    // A volume of 1 MiB: the file does not fit.
    const script =
      'mount -t tmpfs -o size=1m full "$1" && "$2" install "$1"; code=$?; find "$1" -type f -perm /111; exit $code'
    const isolated = ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', folder, builtPlugin()]
    const { status, stdout, stderr } = spawnSync('unshare', isolated, { encoding: 'utf8' })
    assert.equal([status, stdout], [1, ''])
    assert.match(stderr, /^not installed: .*no space left/i)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

shipped('it needs no newer C and C++ library than Velero has, and no other library', () => {
  assertOldLibraries(hostArchitecture())
})

shipped('listing needs no API server, and an operation asked after meanwhile goes on', async () => {
  const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '1' }
  await assertListed({ command: [builtPlugin()], env })
  const plugin = await startPlugin({ command: [builtPlugin()], env })
  const { progress } = await plugin.call('/v2.BackupItemAction/Progress', {
    plugin: 'velero.io/vsphere-pvc-backupper',
    operationID: 'shop/snap-1',
    backup: JSON.stringify({ kind: 'Backup', metadata: { name: 'nightly' } }),
  })
  await plugin.shutdown()
  const { completed, description } = progress as { completed: boolean; description: string }
  assert.is(completed, false)
  assert.match(description, 'KubernetesUnavailable')
})

shipped('the file ignores NODE_OPTIONS and flags of Node', async () => {
  const args = ['--features=EnableCSI', '--version', '-e', '1', '--log-level=info']
  await assertListed({ command: [builtPlugin()], args, env: { NODE_OPTIONS: '--no-such-option' } })
})

shipped('the command that Velero is to execute later is the one that was executed', async () => {
  assert.is((await assertListed({ command: [builtPlugin()] })).command, builtPlugin())
})

shipped('one variable changes all names, and a bad one is refused with a log line', async () => {
  const env = { DORMOUSE_VELERO_PREFIX: 'dormouse.dev' }
  const plugin = await startPlugin({ command: [builtPlugin()], env })
  const { plugins: list } = await plugin.call('/generated.PluginLister/ListPlugins', {})
  await plugin.shutdown()
  assert.ok((list as { name: string }[]).every(({ name }) => name.startsWith('dormouse.dev/')))
  const { code, lines, stderr } = await runPlugin({ command: [builtPlugin()], env: { DORMOUSE_VELERO_PREFIX: 'a b' } })
  assert.equal([code, lines], [1, []])
  assert.match(JSON.parse(stderr.at(-1) ?? '')['error'], 'dns-subdomain')
})

shipped("in Velero's image with a read-only root its socket is in the scratch volume", async () => {
  const { network, address, command } = await assertListed({ command: pod({ scratch: true }) })
  assert.equal([network, command], ['unix', `/plugins/${PLUGIN_FILE}`])
  assert.match(address, /^\/scratch\/plugin/)
})

shipped("in Velero's image with nothing writable it listens on 127.0.0.1", async () => {
  const { network, address } = await assertListed({ command: pod({ scratch: false }) })
  assert.is(network, 'tcp')
  assert.match(address, /^127\.0\.0\.1:\d+$/)
})

shipped.run()
