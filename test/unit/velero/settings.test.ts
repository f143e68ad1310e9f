// What the plugin takes from Velero's flags, its environment and its pod.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { pvRestorer } from '../../../velero/actions/volume.ts'
import { Registry } from '../../../velero/host/registry.ts'
import { readPluginSettings } from '../../../velero/settings.ts'

const settings = suite('settings of the Velero plugin')

type Given = { args?: string[]; env?: Record<string, string>; pod?: string }
const read = ({ args = [], env = {}, pod }: Given) => readPluginSettings(args, env, pod)

const NAMESPACES: [what: string, given: Given, namespace: string][] = [
  ['nothing', {}, 'velero'],
  ["the pod's", { pod: 'backup' }, 'backup'],
  ['VELERO_NAMESPACE before it', { pod: 'backup', env: { VELERO_NAMESPACE: 'v2' } }, 'v2'],
  ['a flag before that', { env: { VELERO_NAMESPACE: 'v2' }, args: ['--namespace=v3'] }, 'v3'],
  ['a short flag', { args: ['--features=EnableCSI', '-n', 'v4', '--log-level', 'debug'] }, 'v4'],
  ['the last of two flags', { args: ['--namespace', 'v5', '-n=v6'] }, 'v6'],
  ['a flag without a value', { args: ['--namespace'], pod: 'backup' }, 'backup'],
]
for (const [what, given, namespace] of NAMESPACES) {
  settings(`Velero's namespace: ${what}`, () => assert.is(read(given).veleroNamespace, namespace))
}

settings('a kubeconfig file is taken from the flag; without it the adapter looks for one', () => {
  assert.is(read({ args: ['--kubeconfig', '/a/b=c'] }).kubeconfig, '/a/b=c')
  assert.is(read({}).kubeconfig, undefined)
})

settings('one variable changes the prefix of all names, and a bad one is refused before Velero sees it', () => {
  const named = (prefix: string) => read({ env: { DORMOUSE_VELERO_PREFIX: prefix } }).names
  assert.equal(Object.values(named('dormouse.dev')), [
    'dormouse.dev/vsphere-pvc-backupper',
    'dormouse.dev/vsphere-pvc-deleter',
    'dormouse.dev/vsphere-pvc-restorer',
    'dormouse.dev/vsphere-pv-restorer',
    'dormouse.dev/vsphere-item-restorer',
    'dormouse.dev/vsphere',
  ])
  assert.is(named('').backupper, 'velero.io/vsphere-pvc-backupper')
  for (const bad of ['Dormouse', 'a/b', 'a b', '-a', `${'a.'.repeat(130)}a`]) {
    assert.throws(() => new Registry([pvRestorer({ name: named(bad).volumeRestorer })]), /dns-subdomain/)
  }
})

settings.run()
