import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { requireNode } from '../../cli/node-version.ts'

const node = suite('Node of the command line')

node('a version that is too old is refused with its number and the fix', () => {
  for (const version of ['18.20.0', '20.20.2', '23.11.1'])
    assert.throws(() => requireNode(version), new RegExp(`Node ${version}.*24 or newer.*node_modules`))
})

node('a version that is new enough is accepted, such as the current one', () => {
  for (const version of ['24.0.0', '26.1.0', process.versions.node]) requireNode(version)
})

node.run()
