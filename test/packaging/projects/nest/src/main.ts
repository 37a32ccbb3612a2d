import 'reflect-metadata'
import { NestFactory } from '@nestjs/core'
import { AppModule } from './app.module'
import { BillingService } from './billing.service'

async function bootstrap(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false })
  const billing = app.get(BillingService)
  console.log(await billing.charge('a'), await billing.charge('a'), billing.charged)
  await app.close()
}

void bootstrap()
