"""Certinia PSA's objects, in the form of `schema`'s table.

Names follow Certinia's public data dictionary. ``Isthmus_Key__c`` is the field an administrator adds for
isthmus; ``PROJECT_ID__c`` and ``Open_up_Assignment_for_Time_entry__c`` are fields that some orgs have added
and that clients of theirs ask for.
"""

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HOURS = " ".join(f"pse__{day}_Hours__c:double" for day in DAYS)
_NOTES = " ".join(f"pse__{day}_Notes__c:textarea" for day in DAYS)
_PLACES = " ".join(f"pse__Location_{day[:3]}__c:string" for day in DAYS)
_BILLED = """pse__Billed__c:boolean pse__Bill_Date__c:date pse__Invoiced__c:boolean
  pse__Invoice_Number__c:string pse__Invoice_Date__c:date pse__Approved_for_Billing__c:boolean
  pse__Include_In_Financials__c:boolean pse__Exclude_from_Billing__c:boolean"""

RESOURCE = """pse__Is_Resource__c:boolean pse__Is_Resource_Active__c:boolean
  pse__Resource_Role__c:picklist pse__Salesforce_User__c:reference>User"""

TABLE = f"""
pse__Proj__c a10 Name:string! Isthmus_Key__c:string*1 pse__Account__c:reference>Account
  pse__Opportunity__c:reference>Opportunity
  pse__Stage__c:picklist~[Draft|Planned|In_Progress|On_Hold|Completed|Canceled] pse__Project_Type__c:picklist
  pse__Billing_Type__c:picklist pse__Is_Active__c:boolean pse__Is_Billable__c:boolean pse__Start_Date__c:date
  pse__End_Date__c:date pse__Project_Manager__c:reference>Contact pse__Is_Template__c:boolean
  pse__Allow_Timecards_Without_Assignment__c:boolean pse__Allow_Expenses_Without_Assignment__c:boolean
  pse__Closed_for_Time_Entry__c:boolean pse__Closed_for_Expense_Entry__c:boolean
  pse__Planned_Hours__c:double OwnerId:reference>User
pse__Proj__History 017 ParentId:reference^>pse__Proj__c Field:picklist^ OldValue:string^ NewValue:string^
pse__Schedule__c a11 Name:string^ pse__Start_Date__c:date! pse__End_Date__c:date! {_HOURS}
pse__Assignment__c a12 Name:string! pse__Project__c:reference!>pse__Proj__c
  pse__Resource__c:reference>Contact pse__Role__c:picklist~[Consultant|Senior_Consultant|Project_Manager]
  pse__Status__c:picklist~[Tentative|Scheduled|Closed] pse__Schedule__c:reference>pse__Schedule__c
  pse__Start_Date__c:date^ pse__End_Date__c:date^
  pse__Milestone__c:reference>pse__Milestone__c pse__Is_Billable__c:boolean pse__Bill_Rate__c:currency
  pse__Planned_Hours__c:double pse__Percent_Allocated__c:double pse__Closed_for_Time_Entry__c:boolean
  pse__Closed_for_Expense_Entry__c:boolean pse__Exclude_from_Billing__c:boolean
  pse__Exclude_from_Planners__c:boolean Open_up_Assignment_for_Time_entry__c:boolean
pse__Milestone__c a13 Name:string! Isthmus_Key__c:string*1 pse__Project__c:reference!>pse__Proj__c
  pse__Status__c:picklist~[Planned|Open|Approved] pse__Approved__c:boolean pse__Actual_Date__c:date
  pse__Target_Date__c:date!
  pse__Milestone_Amount__c:currency pse__Requires_Customer_Sign_off__c:boolean
  pse__Closed_for_Time_Entry__c:boolean pse__Description__c:textarea {_BILLED}
pse__Timecard_Header__c a14 Name:string^ pse__Project__c:reference!>pse__Proj__c
  pse__Assignment__c:reference>pse__Assignment__c pse__Resource__c:reference!>Contact
  pse__Milestone__c:reference>pse__Milestone__c pse__Start_Date__c:date! pse__End_Date__c:date!
  {_HOURS} {_NOTES} {_PLACES} pse__Timecard_Notes__c:textarea pse__Audit_Notes__c:textarea
  pse__Status__c:picklist pse__Submitted__c:boolean pse__Approved__c:boolean pse__Billable__c:boolean
  pse__Total_Hours__c:double^ PROJECT_ID__c:string^ OwnerId:reference>User LastReferencedDate:datetime^
  LastViewedDate:datetime^
pse__Timecard__c a15 Name:string^ pse__Timecard_Header__c:reference!>pse__Timecard_Header__c
  pse__Project__c:reference>pse__Proj__c pse__Assignment__c:reference>pse__Assignment__c
  pse__Resource__c:reference>Contact pse__Milestone__c:reference>pse__Milestone__c
  pse__Start_Date__c:date pse__End_Date__c:date {_HOURS} {_NOTES} pse__Total_Hours__c:double^
  pse__Approved__c:boolean pse__Billable__c:boolean {_BILLED}
pse__Expense__c a16 Name:string^ pse__Project__c:reference!>pse__Proj__c
  pse__Assignment__c:reference>pse__Assignment__c pse__Resource__c:reference!>Contact
  pse__Type__c:picklist~[Airfare|Hotel|Taxi|Meals] pse__Expense_Date__c:date! pse__Amount__c:currency!
  pse__Description__c:textarea
  pse__Status__c:picklist pse__Submitted__c:boolean pse__Approved__c:boolean pse__Billable__c:boolean
  pse__Billing_Amount__c:currency pse__Billing_Amount_Pre_Fee_Subtotal__c:currency
  pse__Billing_Currency__c:string pse__Billable_Fee_Percentage__c:double {_BILLED}
"""
