// Which refusal of a PUT is a reason to try another form of the request.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formsOf, mayBeTaken } from '#shared/repository/stores/s3/put-form.ts'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'

const forms = suite('forms of a PUT')

const refusal = (name: string, httpStatusCode: number) =>
  Object.assign(new Error(name), { name, $metadata: { httpStatusCode } })
const [, signed, plain] = formsOf({ url: 'https://s3.example.com' } as S3Settings)

forms('a location without an algorithm tries unsigned, signed, and without a checksum', () => {
  assert.equal(formsOf({ url: 'https://s3.example.com' } as S3Settings), [
    { payload: 'unsigned', checksum: 'CRC32' },
    { payload: 'signed', checksum: 'CRC32' },
    { payload: 'signed', checksum: 'none' },
  ])
})

forms('a refused checksum is left out, a policy that forbids a form only changes the signature', () => {
  assert.is(mayBeTaken(plain!, refusal('NotImplemented', 501)), true)
  assert.is(mayBeTaken(signed!, refusal('AccessDenied', 403)), true)
  assert.is(mayBeTaken(plain!, refusal('AccessDenied', 403)), false)
})

for (const name of ['IncompleteBody', 'RequestTimeout'])
  forms(`${name} is an error of the transmission: the checksum is not given up for it`, () => {
    assert.is(mayBeTaken(plain!, refusal(name, 400)), false)
    assert.is(mayBeTaken(signed!, refusal(name, 400)), true)
  })

forms.run()
