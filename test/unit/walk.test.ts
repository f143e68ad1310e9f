// How many places a reader has to visit to follow a transfer (docs/design/0009-controllers.md).

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { walkOf } from '../../hack/walk.ts'

const MOST = [
  { table: 'UPLOAD', stays: 40, returns: 25, through: ['shared/controllers/slots.ts', 'functions/upload/prepare.ts'] },
  {
    table: 'DOWNLOAD',
    stays: 30,
    returns: 15,
    through: ['shared/controllers/slots.ts', 'functions/download/clone.ts'],
  },
]

for (const { table, through, ...most } of MOST)
  test(`reading ${table} takes at most ${most.stays} places and ${most.returns} returns`, () => {
    const { stays, returns, trace } = walkOf(table, 'transfer')
    assert.ok(
      stays <= most.stays && returns <= most.returns,
      `${stays} stays, ${returns} returns:\n${trace.join('\n')}`,
    )
    // A walk that stopped too early would be short, too.
    for (const file of through)
      assert.ok(
        trace.some((entry) => entry.startsWith(`${file} `)),
        `${file} is not passed`,
      )
  })

test.run()
