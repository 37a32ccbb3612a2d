import { Test } from '@nestjs/testing'
import { AppModule } from './app.module'
import { BillingService } from './billing.service'

test('an order is charged once', async () => {
  const app = await Test.createTestingModule({ imports: [AppModule] }).compile()
  const billing = app.get(BillingService)
  expect([await billing.charge('a'), await billing.charge('a')]).toEqual(['completed', 'duplicate'])
  expect(billing.charged).toBe(1)
  await app.close()
})
