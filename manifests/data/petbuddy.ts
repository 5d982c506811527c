/** A hundred clinics of a bot, each with a thousand contacts; contacts that write have 200 messages each. */
import { daysBefore, momentWithin, type SampleData, type SampleShape } from "./fill.ts";

const COMPANIES = 100;
const MESSAGES_OF_A_CONTACT = 200;

const company = (n: number) => `company-${n % COMPANIES}`;
const writers = ({ rows }: SampleShape) => Math.max(1, Math.round(rows / MESSAGES_OF_A_CONTACT));

const SENTENCES = [
  "Hello, I would like to book an appointment for my dog",
  "Thank you, see you on Tuesday at ten",
  "Our cat does not eat since yesterday, what should we do?",
  "How much is a nail trim for a small dog",
  "Can I move the grooming to next week please",
  "Yes, that time is fine for us",
  "Do you have opening hours on Sunday",
  "The parcel with the special food has arrived",
] as const;

/** PetBuddy's collections. */
export const petbuddyData: SampleData = {
  collections: {
    contacts: {
      share: 1,
      make: (n, chance, shape) => ({
        companyId: company(n),
        fullName: `Contact ${n}`,
        // A contact belongs to one network; the ids of the others are missing.
        social: { [chance.of(["facebookId", "instagramId", "whatsapp"])]: `${n}${chance.below(1e9)}` },
        ...(chance.isOneIn(3) ? { phone: `+3598${String(n).padStart(8, "0")}` } : {}),
        ...(chance.isOneIn(4) ? { email: `contact${n}@example.com` } : {}),
        contactStatus: chance.weighted({ customer: 70, inactive: 26, lead: 4 }),
        pets: [{ name: `Pet ${n}`, kind: chance.of(["dog", "cat", "rabbit"]), age: chance.below(15) }],
        lastMessageAt: momentWithin(shape, 365, chance),
        createdAt: momentWithin(shape, 900, chance),
      }),
    },
    messages: {
      share: 1,
      make: (n, chance, shape) => {
        const contact = n % writers(shape);
        return {
          company_id: company(contact),
          contact_id: `contact-${contact}`,
          platform: contact % 3 === 0 ? "instagram" : "facebook",
          direction: chance.of(["in", "out"]),
          content: chance.isOneIn(100)
            ? "When is the next vaccination of my dog due?"
            : `${chance.of(SENTENCES)}. ${chance.of(SENTENCES)}.`,
          created_at: momentWithin(shape, 180, chance),
        };
      },
    },
    appointments: {
      share: 1,
      make: (n, chance, shape) => {
        const clinic = chance.below(COMPANIES);
        const start = new Date(
          daysBefore(shape, chance.below(365) - 30).getTime() + (8 + chance.below(10)) * 3_600_000,
        );
        return {
          companyId: company(clinic),
          locationId: `location-${clinic}-${chance.below(2)}`,
          staffId: `staff-${clinic}-${chance.below(5)}`,
          customerId: `customer-${clinic}-${chance.below(Math.max(1, shape.rows / COMPANIES / 5))}`,
          start,
          end: new Date(start.getTime() + 45 * 60_000),
          status: chance.weighted({ completed: 80, scheduled: 10, checked_in: 2, cancelled: 8 }),
          service: chance.of(["grooming", "bath", "check-up", "vaccination"]),
          ...(chance.isOneIn(2) ? { googleCalendarEventId: `event-${n}` } : {}),
          notes: "",
        };
      },
    },
    companyintegrations: {
      share: 1,
      make: (n, chance) => ({
        companyId: `company-${n}`,
        ...(chance.isOneIn(3) ? { facebookChatId: `page-${n}` } : {}),
        ...(chance.isOneIn(5) ? { instagramChatId: `account-${n}` } : {}),
        settings: { language: "en", isBotOn: true, greeting: "Hello! How can we help you and your pet today?" },
        accessToken: `token-${chance.below(1e9)}-${chance.below(1e9)}-${chance.below(1e9)}`,
      }),
    },
  },
  tables: {},
  prepare: () => Promise.resolve(),
};
